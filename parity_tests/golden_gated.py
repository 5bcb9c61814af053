"""Golden fixtures of the gated models (antoine77340/Youtube-8M-WILLOW) and of LOUPE, with the converter's own names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from acz.exchange.weights.matching import match
from acz.exchange.weights.systems import SYSTEMS
from acz.model.losses import LOSSES
from acz.model.spec import Spec
from acz.zoo.config import load_config
from parity_tests.golden_experts import OF_SLIM
from parity_tests.golden_fixture import Array, Golden, Gradient, after_update, as_is, norm_of, same

DIAGONALS = ("model.trunk.gating.remove_diagonal", "model.trunk.class_gating.remove_diagonal")


def _spec_of(arrays: Mapping[str, Array], changes: Mapping[str, Any]) -> Spec:
    """The model that the converter finds from the names and shapes, with changes that no file tells."""
    system = SYSTEMS["willow"]
    ((model, structure),) = system.candidates(arrays)
    spec = load_config(model, {**structure, **changes}).spec
    return load_config(model, {**structure, **system.settings(spec, arrays), **changes}).spec


def gated_network(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """A whole model on frames whose length over both modalities is 1."""
    config = about["config"]
    arrays = {key.removeprefix("param/"): value for key, value in z.items() if key.startswith("param/")}
    changes: dict[str, Any] = {f"model.inputs.{key}.frames": config["iterations"] for key in ("rgb", "audio")}
    if config["gating_remove_diag"]:
        changes |= dict.fromkeys(DIAGONALS, True)
    if about["kind"] == "WILLOW_NetFVModelLF" and config["fv_couple_weights"]:
        changes |= {
            f"model.streams.{key}.layers.netfv.coupling": config["fv_coupling_factor"] for key in ("rgb", "audio")
        }
    spec, system = _spec_of(arrays, changes), SYSTEMS["willow"]
    matched = match(spec, system.table(spec), arrays)
    assert matched.fits, f"{name}: {matched.missing} {matched.wrong} {matched.left_over}"
    expected = {"output": (z["expected/output"], same("output"))}
    before_experts = list(spec.trunk)[: list(spec.trunk).index("experts")]
    if before_experts:
        expected["classifier_input"] = (z["expected/classifier_input"], same(f"trunk.{before_experts[-1]}"))
    recorded: dict[str, tuple[Array, Callable[[Array], Array]]] = {}
    for path, (theirs, turn, _) in matched.names.items():
        if f"after_update/{theirs}" in z:
            expected[f"after_update/{theirs}"] = turn(z[f"after_update/{theirs}"]), same(f"updated.{path}")
        if f"grad/{theirs}" in z:
            recorded[path] = turn(z[f"grad/{theirs}"]), as_is
    labels = z["input/labels"].astype(np.float32)
    inputs, wide = (_frames(config, z, f"{kind}/model_input") for kind in ("expected", "expected64"))
    gradient = Gradient("projection", lambda ours: z["input/G"], recorded)
    if "expected/label_loss" in z:  # its gradients are those of the loss, and of the penalty on weights of the experts
        expected["label_loss"] = z["expected/label_loss"], lambda ours: _loss(ours, labels)
        gradient = Gradient("probability_cross_entropy", lambda ours: labels, recorded)
        for path in (f"trunk.experts.{side}.weight" for side in ("gates", "experts")):
            recorded[path] = recorded[path][0] - np.float32(config["moe_l2"]) * matched.parameters[path], as_is
    return Golden(
        name,
        about["kind"],
        spec.to_dict(),
        matched.parameters,
        inputs,
        expected,
        about["suggested_tolerance"],
        config["is_training"],
        [gradient] if recorded else [],
        wide={f"batch/inputs/{key}": value for key, value in wide.items()},
    )


def _frames(config: Mapping[str, Any], z: Mapping[str, Array], key: str) -> dict[str, Array]:
    """The frames of both modalities. Where the original takes frames in order, it repeats a video's last."""
    x = z[key]
    if not config["sample_random_frames"]:
        last = z["input/num_frames"][:, None] - 1
        x = np.take_along_axis(x, np.minimum(np.arange(config["iterations"]), last)[:, :, None], axis=1)
    return {"rgb": x[:, :, : config["video_dim"]], "audio": x[:, :, config["video_dim"] :]}


def _loss(ours: dict[str, Array], labels: Array) -> Array:
    output = ours["output"].astype(np.float64)
    return np.asarray(LOSSES["probability_cross_entropy"].reference(output, output, labels))


POOLS = {"NetVLAD": "netvlad", "NetRVLAD": "light_vlad", "NetFV": "net_fv"}
NAMES = {
    "assignment.weight": "cluster_weights",
    "assignment.bias": "cluster_biases",
    "centres": "cluster_weights2",
    "spread": "covar_weights",
}


def loupe(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """A pool of LOUPE on frames that are rows, one video after the other, its hidden layer and its gating."""
    config, kind = about["config"], about["kind"].removeprefix("LOUPE_")
    frames, features, normed = config["max_frames"], config["feature_size"], config["add_batch_norm"]
    norm = {"norm": OF_SLIM} if normed else {}
    if kind in POOLS:
        layers = {"pool": {"type": POOLS[kind], "clusters": config["cluster_size"], **norm}}
        names, norms = {f"x.pool.{own}": theirs for own, theirs in NAMES.items()}, {"x.pool.norm": "cluster_bn"}
    else:
        layers = {"expansion": {"type": "dense", "units": config["cluster_size"], "bias": not normed}}
        layers |= {"expansion_norm": {"type": "batch_norm", **OF_SLIM}} if normed else {}
        layers |= {"shares": {"type": "softmax"}, "pool": {"type": "frame_pool", "pooling": "sum", "normalize": True}}
        names = {"x.expansion.weight": "cluster_weights", "x.expansion.bias": "cluster_biases"}
        norms = {"x.expansion_norm": "cluster_bn"}
    trunk: dict[str, Any] = {"hidden": {"type": "dense", "units": config["output_dim"], "bias": False}}
    if config["gating"]:
        trunk["gating"] = {"type": "context_gating", **norm}
    names |= {"trunk.hidden.weight": "hidden1_weights", "trunk.gating.weight": "gating_weights"}
    names |= {"trunk.gating.bias": "gating_biases"}
    tree = {
        "inputs": {"x": {"frames": frames, "features": features}},
        "streams": {"x": {"input": "x", "layers": layers}},
        "trunk": trunk,
        "output": "none",
    }
    parameters: dict[str, Array] = {}
    expected = {"output": (z["expected/output"], same("output"))}
    recorded = {"x": (z["grad/input:x"], lambda value: value.reshape(-1, features))}
    for path, theirs in (norms | {"trunk.gating.norm": "gating_bn"}).items():
        if f"param/{theirs}/gamma" in z:
            parameters |= norm_of(z, path, theirs)
            expected |= after_update(z, path, theirs)
            recorded[f"{path}.weight"] = z[f"grad/{theirs}/gamma"], as_is
            recorded[f"{path}.bias"] = z[f"grad/{theirs}/beta"], as_is
    for path, theirs in names.items():
        if f"param/{theirs}" in z:
            value = z[f"param/{theirs}"]
            parameters[path] = value[0] if value.ndim == 3 else value
            recorded[path] = z[f"grad/{theirs}"].reshape(parameters[path].shape), as_is
    return Golden(
        name,
        about["kind"],
        tree,
        parameters,
        {"x": z["input/x"].reshape(-1, frames, features)},
        expected,
        about["suggested_tolerance"],
        config["is_training"],
        [Gradient("projection", lambda ours: z["input/G"], recorded)],
    )
