"""The `feature_train*.pkl` and `feature_test*.pkl` of Flash-MNIST's authors and of the MindSpore port, as a data set.

Each is a tuple of three lists: float32 (frames, features) arrays, class labels, and ids. An id is a string such as
`01_3______ 000007`, the digits that are shown and a running number; in the port's files all ids are 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from acz.data.base import Examples
from acz.data.folder import Split
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.pickle_globals import text
from acz.foundation.files.unpickle import load
from acz.foundation.progress import show_progress
from acz.model.losses import Loss
from acz.model.spec import Spec

FEATURES = "features"
"""The name of the arrays here; a model reads them under the name of its only input."""


class PickledSplit(Split):
    """One feature file, in memory. Raises DataError where it is damaged or holds something else."""

    def __init__(self, path: Path, split: str) -> None:
        self.folder, self.name = path, split
        with show_progress() as shown:
            content = load(path, lambda done, total: shown(f"reading {path.name}", done, total))
        features, labels, self.recorded = _three_lists(content, path)
        del content
        self.shards = [{FEATURES: _stacked(features, path), "labels": _labels(labels, path)}]
        self.starts = np.array([0, len(self.recorded)])

    def require(self, spec: Spec, loss: Loss | None = None) -> None:
        if len(spec.inputs) != 1:
            raise DataError(
                f"{self.folder} holds one kind of features; "
                f"the model reads {len(spec.inputs)}: {', '.join(spec.inputs)}"
            )
        [name] = spec.inputs
        stored, self.shards = self.shards, [{name: self.shards[0][FEATURES], "labels": self.shards[0]["labels"]}]
        try:
            super().require(spec, loss)
        finally:
            self.shards = stored

    def take(self, numbers: Array, names: list[str]) -> Examples:
        examples = super().take(numbers, [FEATURES])
        examples.inputs = dict.fromkeys(names, examples.inputs[FEATURES])
        return examples

    def ids(self, numbers: Array) -> list[str]:
        """The ids in the authors' files; the numbers of the examples where the file has no ids, as the port's."""
        names = []
        for number in numbers:
            recorded = self.recorded[number]
            names.append(text(recorded) if isinstance(recorded, (str, bytes)) else str(number))
        return names


def _three_lists(content: Any, path: Path) -> tuple[list[Any], list[Any], list[Any]]:
    if not isinstance(content, tuple) or len(content) != 3 or not all(isinstance(part, list) for part in content):
        raise DataError(f"{path}: must hold a tuple of three lists (features, labels, ids), as feature_train.pkl does")
    features, labels, ids = content
    if not len(features) == len(labels) == len(ids) or not features:
        raise DataError(f"{path}: holds {len(features)} features, {len(labels)} labels and {len(ids)} ids")
    return features, labels, ids


def _stacked(features: list[Any], path: Path) -> Array:
    """float32 (videos, frames, features). Empties the list meanwhile, so that the features are in memory only once."""
    shape = features[0].shape if isinstance(features[0], np.ndarray) else ()
    if len(shape) == 2 and len(features) * 4 * shape[0] * shape[1] > 2 * path.stat().st_size:
        raise DataError(f"{path}: {len(features):,} arrays {shape} are more than the file can hold")
    stacked = np.empty((len(features), *shape), np.float32) if len(shape) == 2 else np.empty(0)
    for number, value in enumerate(features):
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim != 2 or value.shape != shape:
            what = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise DataError(f"{path}: example {number}: features must be float (frames, features) alike, got {what}")
        if not np.isfinite(value).all():
            raise DataError(f"{path}: example {number} holds NaN or infinity")
        stacked[number], features[number] = value, None
    return stacked


def _labels(labels: list[Any], path: Path) -> Array:
    """The class of each video, int64 (videos)."""
    for number, label in enumerate(labels):
        if not isinstance(label, (int, np.integer)) or isinstance(label, bool):
            raise DataError(f"{path}: example {number}: the label must be an integer, got {type(label).__name__}")
    try:
        return np.array(labels, np.int64)
    except OverflowError:
        raise DataError(f"{path}: a label does not fit 64 bits") from None
