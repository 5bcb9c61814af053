"""The `feature_train*.pkl` and `feature_test*.pkl` of Flash-MNIST's authors and of the MindSpore port, as a data set.

Each is a tuple of three lists: float32 (frames, features) arrays, class labels, and ids (strings such as
`01_3______ 000007`, the digits that are shown and a running number; in the port's files all 0).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.features import Data, Examples, Split, manifest_hash
from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.where import Where, is_youtube8m
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.pickle_globals import text
from acz.foundation.files.unpickle import load
from acz.foundation.progress import progress
from acz.model.losses import Loss
from acz.model.spec import Spec

FEATURES = "features"
"""What the arrays are called here; a model reads them under the name of its one input."""


class PickledSplit(Split):
    """One feature file, held in memory. Raises DataError where it is damaged or holds something else."""

    def __init__(self, path: Path, split: str) -> None:
        self.folder, self.name = path, split
        with progress() as shown:
            content = load(path, lambda done, total: shown(f"reading {path.name}", done, total))
        features, labels, self.recorded = _three_lists(content, path)
        del content
        self.shards = [{FEATURES: _stacked(features, path), "labels": _labels(labels, path)}]
        self.starts = np.array([0, len(self.recorded)])

    def require(self, spec: Spec, loss: Loss | None = None) -> None:
        if len(spec.inputs) != 1:
            raise DataError(
                f"{self.folder} holds one kind of features; the model reads {len(spec.inputs)}: {', '.join(spec.inputs)}"
            )
        [name] = spec.inputs
        of_files, self.shards = self.shards, [{name: self.shards[0][FEATURES], "labels": self.shards[0]["labels"]}]
        try:
            super().require(spec, loss)
        finally:
            self.shards = of_files

    def take(self, numbers: Array, names: list[str]) -> Examples:
        examples = super().take(numbers, [FEATURES])
        examples.inputs = dict.fromkeys(names, examples.inputs[FEATURES])
        return examples

    def ids(self, numbers: Array) -> list[str]:
        """The ids that the authors' files record; the example's number where the file has none, as the port's."""
        found = []
        for number in numbers:
            recorded = self.recorded[number]
            found.append(text(recorded) if isinstance(recorded, (str, bytes)) else str(number))
        return found


def _three_lists(content: Any, path: Path) -> tuple[list[Any], list[Any], list[Any]]:
    if not isinstance(content, tuple) or len(content) != 3 or not all(isinstance(part, list) for part in content):
        raise DataError(f"{path}: must hold a tuple of three lists (features, labels, ids), as feature_train.pkl does")
    features, labels, ids = content
    if not len(features) == len(labels) == len(ids) or not features:
        raise DataError(f"{path}: holds {len(features)} features, {len(labels)} labels and {len(ids)} ids")
    return features, labels, ids


def _stacked(features: list[Any], path: Path) -> Array:
    """float32 (videos, frames, features); empties the list on the way, so that the file is in memory only once."""
    shape = features[0].shape if isinstance(features[0], np.ndarray) else ()
    if len(shape) == 2 and len(features) * 4 * shape[0] * shape[1] > 2 * path.stat().st_size:
        raise DataError(f"{path}: {len(features):,} arrays {shape} are more than the file can hold")
    found = np.empty((len(features), *shape), np.float32) if len(shape) == 2 else np.empty(0)
    for number, value in enumerate(features):
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim != 2 or value.shape != shape:
            what = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise DataError(f"{path}: example {number}: features must be float (frames, features) alike, got {what}")
        if not np.isfinite(value).all():
            raise DataError(f"{path}: example {number} holds NaN or infinity")
        found[number], features[number] = value, None
    return found


def _labels(labels: list[Any], path: Path) -> Array:
    """int64 (videos)."""
    for number, label in enumerate(labels):
        if not isinstance(label, (int, np.integer)) or isinstance(label, bool):
            raise DataError(f"{path}: example {number}: the label must be an integer, got {type(label).__name__}")
    try:
        return np.array(labels, np.int64)
    except OverflowError:
        raise DataError(f"{path}: a label does not fit 64 bits") from None


def _pickles(folder: Path) -> dict[str, Path]:
    """The feature file of each split in a folder. Raises DataError where a split has several."""
    found: dict[str, Path] = {}
    for split in ("train", "test"):
        files = sorted(folder.glob(f"feature_{split}*.pkl"))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise DataError(
                f"{folder} holds several files of '{split}' ({names}); name one of them, or move the others"
            )
        if files:
            found[split] = files[0]
    return found


def open_split(path: Where, name: str, reading: Reading | None = None) -> Data:
    """A split of a data set: a folder with a manifest, a folder with feature_train*.pkl and feature_test*.pkl, or one such file.

    Such a file alone is the split `train` where its name says so, and `test` otherwise. YouTube-8M: a folder with train*.tfrecord and validate*.tfrecord (or
    .tfrecord.gz), a glob, or a list of paths, and how they are read. Raises DataError.
    """
    if is_youtube8m(path):
        from acz.data.youtube8m.open import open_youtube8m

        return open_youtube8m(path, name, reading)
    assert isinstance(path, (str, Path))
    path = Path(path)
    if path.is_file():
        split = "train" if "train" in path.name else "test"
        if name != split:
            raise DataError(
                f"{path} is one file, the split '{split}', and '{name}' was asked for; "
                f"give the folder of both files, or --split {split} to evaluate on it"
            )
        return PickledSplit(path, name)
    if path.is_dir() and not (path / "manifest.json").is_file():
        files = _pickles(path)
        if name in files:
            return PickledSplit(files[name], name)
        if files:
            raise DataError(
                f"{path} has no feature_{name}*.pkl, only {', '.join(file.name for file in files.values())}"
            )
    return Split(path, name)


def data_hash(path: Where) -> str:
    """What tells one data set from another, of anything that `open_split` opens. Raises DataError."""
    if is_youtube8m(path):
        from acz.data.youtube8m.open import youtube8m_hash

        return youtube8m_hash(path)
    assert isinstance(path, (str, Path))
    path = Path(path)
    files = [path] if path.is_file() else list(_pickles(path).values())
    if (path / "manifest.json").is_file() or not files:
        return manifest_hash(path)
    whole = hashlib.sha256()
    try:
        for file in files:
            with file.open("rb") as content:
                while part := content.read(2**22):
                    whole.update(part)
    except OSError as error:
        raise DataError(f"{error.filename}: can't be read: {error.strerror}") from None
    return whole.hexdigest()
