"""Checkpoints that the original systems wrote, each with its model here and what the original gave.

A folder of the same layout and other sizes can be tried with ACZ_CHECKPOINTS=FOLDER; sizes come from its config.json files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(os.environ.get("ACZ_CHECKPOINTS", Path(__file__).parent / "fixtures/checkpoints"))

Array = np.ndarray
Ours = dict[str, Array]


@dataclass
class Case:
    """One file. `expected` maps a name to what was recorded and how it follows from our recorded values."""

    file: Path
    system: str
    model: str
    overrides: dict[str, Any]
    inputs: dict[str, Array]
    expected: dict[str, tuple[Array, Callable[[Ours], Array]]]

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.name}"


def _values(path: Path) -> dict[str, Array]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _of(path: str) -> Callable[[Ours], Array]:
    return lambda ours: ours[path]


def _by_unit(path: str) -> Callable[[Ours], Array]:
    """Ours (videos, frames, units), theirs (videos, units, frames)."""
    return lambda ours: ours[path].swapaxes(1, 2)


def _attention(features: int, frames: int, units: int, classes: int) -> dict[str, Any]:
    return {
        "model.inputs.features": {"frames": frames, "features": features},
        "model.streams.features.layers.attention.units": units,
        "model.trunk.logits.units": classes,
    }


EXTRACTOR = {
    "model.inputs.frame.dtype": "float32",  # recorded on frames that are scaled already
    "model.streams.frame.layers.standardize.scale": 1.0,
    "model.streams.frame.layers.standardize.offset": 0.0,
}
WITHOUT_HEAD = {**EXTRACTOR, "model.trunk": {}, "model.output": "none"}


def _flash(folder: Path) -> Iterator[Case]:
    sizes = json.loads((folder / "config.json").read_text())
    z, more = _values(folder / "satt_net.npz"), _values(folder / "features.npz")
    overrides = _attention(sizes["feature_dim"], sizes["L"], sizes["natt"], sizes["nclass"])
    overrides["model.output"] = "log_softmax"
    count = len(z["input/x"])
    for file in sorted(folder.glob("satt_net*.pth.tar")):
        expected = {
            "att": (z["expected/att"], lambda ours: ours["features.attention"][:count]),
            "weights": (z["expected/weights"], lambda ours: _by_unit("features.attention.weights")(ours)[:count]),
            "logp": (z["expected/logp"], lambda ours: ours["output"][:count]),
            "features/out": (more["satt/out"], lambda ours: ours["output"][count:]),
            "features/w": (more["satt/w"], lambda ours: _by_unit("features.attention.weights")(ours)[count:]),
        }
        inputs = {"features": np.concatenate([z["input/x"], more["expected/features_test"]])}
        yield Case(file, "flash-mnist", "flash_mnist/attention_cluster", overrides, inputs, expected)
    z = _values(folder / "extractor.npz")
    for file in sorted(folder.glob("extractor_001*.pth.tar")):
        expected = {"features": (z["expected/features"], _of("frame.features"))}
        yield Case(file, "flash-mnist", "flash_mnist/extractor", WITHOUT_HEAD, {"frame": z["input/x"]}, expected)


def _mindspore(folder: Path) -> Iterator[Case]:
    sizes = json.loads((folder / "config.json").read_text())
    for number, model in ((1, "attention_cluster"), (2, "attention_cluster_hidden")):
        s = sizes[f"fc{number}"]
        stem = f"attention_cluster_{number}_{s['n']}"
        z = _values(folder / f"{stem}.npz")
        expected = {
            "att": (z["expected/att"], _of("features.attention")),
            "weights": (z["expected/weights"], _by_unit("features.attention.weights")),
            "logits": (z["expected/logits"], _of("logits")),
        }
        overrides = _attention(s["F"], s["L"], s["n"], s["nc"])
        for file in sorted(folder.glob(f"{stem}*.ckpt")):
            inputs = {"features": z["input/x"]}
            yield Case(file, "mindspore-port", f"flash_mnist/{model}", overrides, inputs, expected)
    z = _values(folder / "extractor.npz")
    features = (z["expected/features"], _of("frame.features"))
    for file in sorted(folder.glob("extractor*.ckpt")):
        whole = file.name != "extractor_only.ckpt"  # with the layer that the extractor is trained with
        expected = {"features": features}
        if whole:
            expected["output"] = (z["expected/net1_output"], _of("output"))
        overrides = EXTRACTOR if whole else WITHOUT_HEAD
        yield Case(file, "mindspore-port", "flash_mnist/extractor", overrides, {"frame": z["input/x"]}, expected)


def _paddle(folder: Path) -> Iterator[Case]:
    sizes = json.loads((folder / "config.json").read_text())
    z = _values(folder / "attention_cluster.npz")
    overrides: dict[str, Any] = {
        "model.trunk.dropout.rate": sizes["drop"],
        "model.trunk.hidden1.units": sizes["hidden"][0],
        "model.trunk.hidden2.units": sizes["hidden"][1],
        "model.trunk.logits.units": sizes["nc"],
    }
    for number, name in enumerate(("rgb", "audio")):
        overrides[f"model.inputs.{name}"] = {"frames": sizes["seg"], "features": sizes["dims"][number]}
        layers = {"attention": {"type": "attention_cluster", "units": sizes["ns"][number]}}
        overrides[f"model.streams.{name}.layers"] = layers  # recorded on features that are dequantised already
    expected = {"logit": (z["expected/logit"], _of("logits")), "output": (z["expected/output"], _of("output"))}
    names = ["AttentionCluster*.pdparams", "AttentionCluster*.pdckpt", "AttentionCluster*_dir", "inference_model"]
    for file in sorted(one for name in names for one in folder.glob(name)):
        inputs = {"rgb": z["input/rgb"], "audio": z["input/audio"]}
        yield Case(file, "paddle-video", "youtube8m/attention_cluster", overrides, inputs, expected)


def cases(folder: Path = FOLDER) -> list[Case]:
    """Every checkpoint of a folder."""
    return [*_flash(folder / "flash"), *_mindspore(folder / "mindspore"), *_paddle(folder / "paddle")]
