"""Bytes that a model does not scale: training says so, and a model of floats refuses them with what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.foundation.errors import DataError
from acz.foundation.progress import Progress
from acz.training.byte_inputs import warn_of_bytes
from acz.zoo.catalog import config_names
from acz.zoo.config import load_spec


class Lines(Progress):
    """Progress that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


RESCALE = {"type": "rescale", "scale": 1 / 255}
POOL = {"type": "frame_pool", "pooling": "mean"}
CLUSTERS = {"type": "attention_cluster", "units": 2}


def model(dtype: str, *layers: dict[str, Any]) -> dict[str, Any]:
    """A model with these layers on its input `rgb`."""
    named = {f"layer{number}": layer for number, layer in enumerate(layers)}
    entry = {"frames": 4, "features": 3, **({"dtype": dtype} if dtype != "float32" else {})}
    stream = {"input": "rgb", "layers": named}
    trunk = {"logits": {"type": "dense", "units": 2}}
    return {"inputs": {"rgb": entry}, "streams": {"rgb": stream}, "trunk": trunk, "output": "softmax"}


@pytest.mark.parametrize(
    ("dtype", "layers", "warned"),
    [
        ("uint8", [POOL], True),
        ("uint8", [CLUSTERS], True),
        ("uint8", [RESCALE, POOL], False),
        ("uint8", [{"type": "l2_normalize"}, CLUSTERS], False),
        ("uint8", [POOL, {"type": "batch_norm"}], False),
        ("float32", [POOL], False),
    ],
)
def test_training_warns_where_bytes_are_not_scaled(
    dtype: str, layers: list[dict[str, Any]], warned: bool, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 4, 3)).astype(dtype)
    arrays = {"rgb": values, "labels": np.arange(8) % 2}
    acz.write_data(tmp_path / "d", {"train": arrays, "test": arrays}, progress=Progress())
    shown = Lines()
    config = {"model": model(dtype, *layers), "train": {"epochs": 1, "batch_size": 4}}
    acz.train(config, backend="numpy", data=tmp_path / "d", out=tmp_path / "run", progress=shown)
    warnings = [line for line in shown.lines if line.startswith("warning: rgb: bytes are read as numbers of 0 .. 255")]
    assert len(warnings) == warned
    assert all("type: rescale" in line and "\n" not in line for line in warnings)


def test_no_model_of_the_zoo_is_warned_of() -> None:
    assert [name for name in config_names() if warn_of_bytes(load_spec(name))] == []


def test_bytes_that_meet_a_model_of_floats_are_refused_with_what_to_do(tmp_path: Path) -> None:
    arrays = {"rgb": np.zeros((8, 4, 3), np.uint8), "labels": np.arange(8) % 2}
    acz.write_data(tmp_path / "d", {"train": arrays, "test": arrays}, progress=Progress())
    with pytest.raises(
        DataError, match=r"'rgb' is uint8, the model reads float32; give the model's input 'rgb' dtype: uint8"
    ):
        acz.train({"model": model("float32", POOL)}, backend="numpy", data=tmp_path / "d", out=tmp_path / "run")
