"""The gated models of the zoo: their sizes beside the variables of WILLOW's checkpoints, and what its converter finds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.exchange.weights.systems import SYSTEMS
from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError
from acz.model.spec import Spec
from acz.zoo.catalog import config_names
from acz.zoo.config import load_config
from tests.checkpoint_cases import cases
from tests.conftest import Answer

CASE = next(case for case in cases() if case.system == "willow")
MODELS = [name for name in config_names("youtube8m/gated/*") if ":" not in name]


def trained(spec: Spec) -> int:
    return sum(spec.parameters[path].size for path in spec.trained)


def variables(model: str, clusters: int, share: int, hidden: int, classes: int, widths: tuple[int, int]) -> list[int]:
    """Sizes of the trained variables that WILLOW's graph has; `share` is how many times fewer clusters audio has."""
    sizes, behind = [2 * sum(widths)], 0
    for width, count in zip(widths, (clusters, clusters // share), strict=True):
        sizes += [width * count, 2 * count]  # cluster_weights, cluster_bn
        sizes += [width * count] * {"netvlad": 1, "netfv": 2}.get(model, 0)  # cluster_weights2, covar_weights
        behind += count * {"netvlad": width, "netrvlad": width, "netfv": 2 * width}.get(model, 1)
    if model == "gated_dbof":
        sizes += [2 * clusters * widths[0], 2 * clusters]  # dim_red and cluster_weights_2, cluster_bn_2
    if share == 2:
        sizes += [hidden**2, 2 * hidden]  # gating_weights_2, gating_bn
    sizes += [behind * hidden, hidden, 3 * hidden * classes, 2 * (hidden + 1) * classes]  # hidden1, gates, experts
    return [*sizes, classes**2, 2 * classes]  # gating_prob_weights, gating_prob_bn


@pytest.mark.parametrize(
    ("model", "clusters", "share", "published"),
    [
        ("netvlad", 256, 2, 321_528_380),
        ("netrvlad", 256, 2, 321_249_852),
        ("netfv", 128, 2, 321_388_732),
        ("soft_dbow", 8000, 8, 52_261_260),
        ("gated_dbof", 4096, 8, 52_091_708),
    ],
)
def test_the_published_sizes_have_the_variables_of_the_checkpoints(
    model: str, clusters: int, share: int, published: int
) -> None:
    spec = load_config(f"youtube8m/gated/{model}").spec
    assert trained(spec) == sum(variables(model, clusters, share, 1024, 3862, (1024, 128)))
    assert trained(spec) == published


def test_the_sizes_are_those_of_a_checkpoint() -> None:
    """Variables that Adam has slots of are the trained ones."""
    about = json.loads((CASE.file.parent / "config.json").read_text())
    slots = {name.removesuffix("/Adam") for name in about["train_only_names"] if name.endswith("/Adam")}
    count = sum(math.prod(about["variables"][name]) for name in slots)
    assert isinstance(CASE.model, str)
    assert count == trained(load_config(CASE.model, CASE.overrides).spec)
    assert count == sum(variables("netvlad", 4, 2, 8, about["nc"], tuple(about["dims"])))


def arrays_of(spec: Spec) -> dict[str, Array]:
    """Arrays under WILLOW's names for a spec, as its checkpoint holds them."""
    arrays: dict[str, Array] = {}
    for entry in SYSTEMS["willow"].table(spec):
        value = np.zeros(spec.parameters[entry.path].shape)
        (name,) = entry.names
        if name.startswith("input_bn/"):  # one for both modalities
            arrays[name] = np.zeros(len(arrays.get(name, [])) + len(value))
        elif name.endswith(("cluster_weights2", "gate_weights")):
            arrays[name] = (value.T if "gate" in name else value)[None]
        else:
            arrays[name] = value
    return arrays


def without_norm(model: str, changes: Mapping[str, Any]) -> Spec:
    layers = {f"model.streams.{name}.layers.unit": None for name in ("rgb", "audio")}
    return load_config(f"{model}:tiny", {**layers, **changes}).spec


BN = {"epsilon": 1e-3, "decay": 0.999, "variance": "unbiased"}
RELU = {
    "hidden": {"type": "dense", "units": 5, "bias": False},
    "norm": {"type": "batch_norm", **BN},
    "relu6": {"type": "activation", "function": "relu6"},
    "experts": {"type": "mixture_of_experts", "classes": 3},
}


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        *((model.rpartition("/")[2], {}) for model in MODELS),
        ("netvlad", {"model.trunk": RELU}),
        ("netvlad", {"model.trunk.class_gating": None}),
        ("netvlad", {"model.trunk.experts.low_rank": 2}),
        ("netvlad", {"model.trunk.class_gating": None, "model.trunk.experts.classes": 4}),
        ("netrvlad", {f"model.streams.{name}.layers.netrvlad.gated": True for name in ("rgb", "audio")}),
        ("netfv", {f"model.streams.{name}.layers.netfv.coupling": 0.01 for name in ("rgb", "audio")}),
        ("soft_dbow", {f"model.streams.{name}.layers.pool.pooling": ["sum", "max"] for name in ("rgb", "audio")}),
        ("soft_dbow", {"model.trunk.hidden": None}),
        (
            "soft_dbow",
            {
                "model.trunk.class_gating": None,
                "model.trunk.experts.input_gating": {"norm": BN},
                "model.trunk.hidden.units": 4,
            },
        ),
    ],
)
def test_the_model_is_found_from_the_names_and_shapes(model: str, changes: dict[str, Any]) -> None:
    spec = without_norm(f"youtube8m/gated/{model}", changes)
    arrays, system = arrays_of(spec), SYSTEMS["willow"]
    ((name, structure),) = system.candidates(arrays)
    first = load_config(name, structure).spec
    changed = load_config(name, {**structure, **system.settings(first, arrays)}).spec
    assert name == f"youtube8m/gated/{model}"
    assert [entry.names for entry in system.table(changed)] == [entry.names for entry in system.table(spec)]
    assert [p.shape for p in changed.parameters.values()] == [p.shape for p in spec.parameters.values()]
    types = [[placed.layer.type for placed in s.layout if placed.layer.type != "rescale"] for s in (changed, spec)]
    assert types[0] == types[1]


def test_a_layer_that_divides_each_modality_by_its_own_norm_is_refused(
    acz: Callable[..., Answer], tmp_path: Path
) -> None:
    words = [word for key, value in CASE.overrides.items() if value is not None for word in ("--set", f"{key}={value}")]
    answer = acz("convert", CASE.file, "--model", CASE.model, *words, "--out", tmp_path / "out.safetensors")
    assert answer.code == 2
    assert "another formula: rgb.unit: the system divides a frame by the norm of rgb and audio together" in answer.err


def test_another_model_is_refused() -> None:
    with pytest.raises(SpecError, match="not one of willow's: streams of rgb and audio"):
        SYSTEMS["willow"].table(load_config("youtube8m/nextvlad:tiny").spec)
    assert not SYSTEMS["willow"].candidates({"input_bn/gamma": np.ones(4), "experts/weights": np.ones((2, 2))})
