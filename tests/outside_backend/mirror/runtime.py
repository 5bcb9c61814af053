"""Runs an exported file of arrays. Stands alone: NumPy, nothing of acz."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, and the strings stored in the file."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    metadata = json.loads(str(arrays.pop("metadata")))
    spec = json.loads(metadata["acz.spec"])

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        vectors = []
        for name, stream in spec["streams"].items():
            x, mask = inputs[stream["input"]], inputs[f"{stream['input']}_mask"]
            x = np.where(mask[:, :, None], x, np.float32(0))
            vectors.append(through(name, stream["layers"], x, mask, arrays))
        logits = through("trunk", spec["trunk"], np.concatenate(vectors, axis=1), None, arrays)
        return {"output": softmax(logits, 1) if spec["output"] == "softmax" else logits}

    return run, metadata


def through(prefix: str, layers: Mapping[str, Any], x: Array, mask: Array | None, arrays: Mapping[str, Array]) -> Array:
    """x through the named layers, with their parameters."""
    for name, layer in layers.items():
        own = {key: value for key, value in arrays.items() if key.startswith(f"{prefix}.{name}.")}
        p = {key.removeprefix(f"{prefix}.{name}."): value for key, value in own.items()}
        if layer["type"] == "dense":
            x = x @ p["weight"] + p["bias"]
        elif layer["type"] == "attention_cluster":
            x = attention_cluster(x, mask, p)
    return x


def attention_cluster(x: Array, mask: Array | None, p: Mapping[str, Array]) -> Array:
    """x (videos, frames, features) to (videos, units * features)."""
    scores = x @ p["score.weight"] + p["score.bias"]  # (videos, frames, units)
    valid = np.ones(x.shape[:2], bool)[:, :, None] if mask is None else mask[:, :, None]
    weights = softmax(np.where(valid, scores, np.float32(-1e30)), 1) * valid
    v = np.swapaxes(weights, 1, 2) @ x  # (videos, units, features)
    v = p["alpha"][:, None] * v + p["beta"][:, None]
    v = v / np.sqrt(np.maximum((v * v).sum(axis=2, keepdims=True), np.float32(1e-12)))
    return np.reshape(v / np.sqrt(np.float32(v.shape[1])), (len(v), -1))


def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.divide(e, e.sum(axis=axis, keepdims=True))
