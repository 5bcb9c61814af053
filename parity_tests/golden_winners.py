"""Golden fixtures of whole NeXtVLAD models, of linrongc and of PaddlePaddle, with the converters' own tables of names."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acz.exchange.weights.matching import Match, match
from acz.exchange.weights.systems import SYSTEMS
from acz.exchange.weights.systems.starter_code import SCOPE
from acz.model.spec import Spec
from acz.zoo.config import load_config
from parity_tests.golden_fixture import Array, Golden, Gradient, as_is, same

EIGENVALUES = "model.streams.rgb.layers.unwhiten.eigenvalues"
IDENTITY = {"scale": 1.0, "offset": 0.0}


def _matched(system: str, model: str, changes: Mapping[str, Any], arrays: Mapping[str, Array]) -> tuple[Spec, Match]:
    """The model of an original's arrays, with their sizes."""
    table = SYSTEMS[system]
    spec = load_config(model, dict(changes)).spec
    spec = load_config(model, {**changes, **table.settings(spec, arrays)}).spec
    matched = match(spec, table.table(spec), arrays)
    assert matched.fits, f"{matched.missing} {matched.wrong} {matched.left_over}"
    return spec, matched


def _parameter(z: Mapping[str, Array], name: str) -> Array:
    """A stored parameter, or one that is drawn by its recipe."""
    if f"param/{name}" in z:
        return z[f"param/{name}"]
    seed, shape, scale = (z[f"recipe/{name}/{part}"] for part in ("seed", "shape", "scale"))
    drawn = np.random.RandomState(int(seed)).randint(-127, 128, size=tuple(shape))
    return drawn.astype(np.float32) * np.float32(scale)


def _network(
    name: str, about: dict[str, Any], z: Mapping[str, Array], spec: Spec, matched: Match, inputs: dict[str, Array]
) -> Golden:
    """The fixture of a model whose parameters are matched. The scope of the names in the fixture is left out."""
    streams = list(spec.streams)
    places = {"hidden": same("trunk.hidden_norm"), "gated": same("trunk.gating"), "output": same("output")}
    places |= {"logits": same("logits"), "logit": same("logits")}
    if "trunk.dropout" not in {placed.path for placed in spec.layout} or about["kind"] == "NeXtVLADModel":
        places["vlad_concat"] = lambda ours: np.concatenate([ours[f"{s}.norm"] for s in streams], axis=1)
    expected = {what: (z[f"expected/{what}"], mapped) for what, mapped in places.items() if f"expected/{what}" in z}
    labels = z["input/labels"].astype(np.float32) if "input/labels" in z else None
    recorded = {}
    for path, (theirs, turn, _) in matched.names.items():
        theirs = theirs.removeprefix(SCOPE)
        if f"after_update/{theirs}" in z:
            expected[f"after_update/{theirs}"] = turn(z[f"after_update/{theirs}"]), same(f"updated.{path}")
        if f"grad/{theirs}" in z and spec.parameters[path].role == "trained":
            recorded[path] = turn(z[f"grad/{theirs}"]), as_is
    gradient = Gradient("projection", lambda ours: z["input/G"], recorded)
    if "input/G" not in z:
        gradient = Gradient("sigmoid_cross_entropy", lambda ours: labels, recorded)
    return Golden(
        name,
        about["kind"],
        spec.to_dict(),
        matched.parameters,
        inputs,
        expected,
        about["suggested_tolerance"],
        about["config"]["is_training"],
        [gradient] if recorded else [],
    )


def nextvlad_network(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The model of linrongc on features that are no bytes any more."""
    names = {key.split("/", 1)[1] for key in z if key.startswith("param/")}
    names |= {key.split("/", 1)[1].removesuffix("/seed") for key in z if key.endswith("/seed")}
    arrays = {SCOPE + theirs: _parameter(z, theirs) for theirs in names}
    raw, video = z["input/raw"], len(_parameter(z, "video_VLAD/fully_connected/weights"))
    changes: dict[str, Any] = {}
    for modality in ("rgb", "audio"):
        changes |= {f"model.inputs.{modality}.frames": raw.shape[1], f"model.inputs.{modality}.dtype": "float32"}
        changes |= {f"model.streams.{modality}.layers.dequantize.{key}": value for key, value in IDENTITY.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "eigenvals.npy"
        np.save(file, z["input/eigenvals"])
        _, matched = _matched("linrongc", "youtube8m/nextvlad", {**changes, EIGENVALUES: str(file)}, arrays)
    sizes = SYSTEMS["linrongc"].settings(load_config("youtube8m/nextvlad", changes).spec, arrays)
    spec = load_config("youtube8m/nextvlad", {**changes, **sizes}).spec
    valid = np.arange(raw.shape[1]) < z["input/num_frames"][:, None]
    inputs = {"rgb": raw[:, :, :video], "audio": raw[:, :, video:], "rgb.mask": valid, "audio.mask": valid}
    golden = _network(name, about, z, spec, matched, inputs)
    golden.wide["parameters/rgb.unwhiten.scale"] = np.sqrt(z["input/eigenvals"][:video, 0].astype(np.float64)) + 1e-4
    return golden


def paddle_nextvlad(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """PaddlePaddle's model on bytes. It holds the frames of all videos one after another."""
    arrays = {key.removeprefix("param/"): value for key, value in z.items() if key.startswith("param/")}
    counts, rate = z["input/num_frames"], about["config"]["drop_rate"]
    valid = np.arange(counts.max()) < counts[:, None]
    inputs: dict[str, Array] = {}
    changes: dict[str, Any] = {"model.trunk.dropout": {"type": "dropout", "rate": rate} if rate else None}
    for modality in ("rgb", "audio"):
        inputs[modality] = np.zeros((*valid.shape, z[f"input/{modality}"].shape[1]), np.uint8)
        inputs[modality][valid] = z[f"input/{modality}"]
        inputs[f"{modality}.mask"] = valid
        changes[f"model.inputs.{modality}.frames"] = valid.shape[1]
    spec, matched = _matched("paddle-nextvlad", "youtube8m/nextvlad:paddle", changes, arrays)
    golden = _network(name, about, z, spec, matched, inputs)
    if not golden.training:
        golden.loss = ("sigmoid_cross_entropy", z["input/labels"], float(z["expected/loss"].item()))
    return golden
