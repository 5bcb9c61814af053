"""The arrays of one split, opened and compared with each other."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.arrays.features import IN_MEMORY, Features, open_features
from acz.data.arrays.labels import Labels, open_labels
from acz.data.arrays.padding import add_lengths, add_mask
from acz.data.shards import ID, LABELS, LENGTHS, as_names
from acz.data.vocabulary import read_text
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.npy import map_npy
from acz.foundation.randomness import generator
from acz.model.names import PYTHON, STREAMS

MASK = ".mask"
ALL_LENGTHS, ALL_MASKS = "lengths", "mask"
"""Names of the frames of all inputs that have no lengths or masks of their own."""
SPLIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class GivenSplit:
    """The arrays of a split: of the same videos, in one order."""

    numbers: Array
    """The rows that belong to the split, rising, (videos)."""
    inputs: Mapping[str, Features]
    labels: Labels | None
    names: Array | None
    """The names of the videos as texts, (videos)."""
    origins: dict[str, str]
    """The file of each array, for the manifest."""

    @property
    def videos(self) -> int:
        """The number of videos."""
        return len(self.numbers)

    def hold_out(self, share: float, seed: int) -> tuple[GivenSplit, GivenSplit]:
        """Divide the videos at random: the others, and this share of them. Raises DataError where one has no videos."""
        count = round(self.videos * share)
        if not 0 < count < self.videos:
            raise DataError(f"{share:g} of {self.videos:,} videos is {count:,}; hold out at least one, and not all")
        order = generator(seed, "hold out").permutation(self.videos)
        others, held_out = np.sort(order[count:]), np.sort(order[:count])
        return replace(self, numbers=self.numbers[others]), replace(self, numbers=self.numbers[held_out])


def open_split_of_arrays(split: str, arrays: Mapping[str, Any]) -> GivenSplit:
    """Open the arrays of a split.

    Args:
        split: The name of the split.
        arrays: Inputs by name; `labels`; `id`, the names of the videos; `lengths` or `mask` for the frames of all
            inputs, and `NAME.lengths` or `NAME.mask` for those of one. Each is an array, a sequence, or a file.

    Raises:
        DataError: A file is missing or damaged, a name is not possible, or arrays are of different videos.
    """
    if not SPLIT.fullmatch(split):
        raise DataError(f"{split!r:.80} can't be the name of a split; use letters, digits, - and _")
    own = (LABELS, ID, ALL_LENGTHS, ALL_MASKS)
    named = [name for name in arrays if name not in own and not name.endswith((LENGTHS, MASK))]
    for name in named:
        if not name.isidentifier() or name in STREAMS | PYTHON:
            raise DataError(f"{split}: {name!r:.80} can't be the name of an input; give one such as rgb")
    if not named:
        raise DataError(
            f"{split}: no features are given, only {', '.join(arrays) or 'nothing'}; give one such as rgb=rgb.npy"
        )
    for name in arrays:
        if name.endswith((LENGTHS, MASK)) and name.rpartition(".")[0] not in named:
            raise DataError(f"{split}: {name} belongs to no input; the inputs are {', '.join(named)}")
    inputs = {name: _with_padding(name, open_features(name, arrays[name]), arrays) for name in named}
    first = next(iter(inputs.values()))
    labels = open_labels(arrays[LABELS]) if LABELS in arrays else None
    names = _names(inputs, labels, arrays)
    if labels is not None and labels.names and names is not None and labels.names != names.tolist():
        labels = labels.in_order_of(names.tolist(), first.origin)
    counts = {features.origin: features.videos for features in inputs.values()}
    counts |= {labels.origin: labels.videos} if labels else {}
    counts |= {_origin(ID, arrays[ID]): len(names)} if names is not None and ID in arrays else {}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"{split}: arrays must have the same videos; {', '.join(f'{k} has {v:,}' for k, v in counts.items())}"
        )
    if names is not None:
        _require_different(split, names)
    numbers = np.arange(first.videos)
    return GivenSplit(numbers, inputs, labels, names, {name: _origin(name, value) for name, value in arrays.items()})


def _origin(name: str, value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else IN_MEMORY.format(name)


def _with_padding(name: str, features: Features, arrays: Mapping[str, Any]) -> Features:
    """Features with the lengths or the mask that are given for them."""
    lengths = name + LENGTHS if name + LENGTHS in arrays else ALL_LENGTHS
    mask = name + MASK if name + MASK in arrays else ALL_MASKS
    has_frames = len(features.shape) == 2
    takes_lengths = lengths in arrays and (has_frames or lengths != ALL_LENGTHS)
    takes_mask = mask in arrays and (has_frames or mask != ALL_MASKS)
    if takes_lengths and takes_mask:
        raise DataError(f"{name}: {lengths} and {mask} both say which frames are valid; give one of them")
    if takes_lengths:
        return add_lengths(features, lengths, arrays[lengths])
    return add_mask(features, mask, arrays[mask]) if takes_mask else features


def _names(inputs: Mapping[str, Features], labels: Labels | None, arrays: Mapping[str, Any]) -> Array | None:
    """The names of the videos: those that are given, or of the files of single videos, or of the labels."""
    if ID in arrays:
        return _read_names(arrays[ID])
    listed = [features for features in inputs.values() if features.names]
    for features in listed[1:]:
        if features.names != listed[0].names:
            different = sorted(set(features.names) ^ set(listed[0].names))
            raise DataError(
                f"{features.origin} and {listed[0].origin} must have the same videos; only one has {different[0]!r}"
            )
    if listed:
        return np.array(listed[0].names, np.str_)
    return np.array(labels.names, np.str_) if labels and labels.names else None


def _read_names(value: Any) -> Array:
    """Names of videos: a sequence or an array, or a file .npy, .json, or of a name in each line."""
    if not isinstance(value, str | Path):
        return _as_names(IN_MEMORY.format(ID), value)
    path = Path(value)
    if path.suffix == ".npy":
        return _as_names(str(path), map_npy(path, texts=True))
    text = read_text(path)
    if path.suffix == ".json":
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: is not JSON: {error}") from None
        return _as_names(str(path), listed if isinstance(listed, list) else [listed])
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return _as_names(str(path), lines[:-1] if lines[-1] == "" else lines)


def _as_names(origin: str, value: Any) -> Array:
    try:
        return np.array(as_names(value))
    except DataError as error:
        raise DataError(f"{origin}: {error}") from None


def _require_different(split: str, names: Array) -> None:
    """Raise DataError where a name is empty, or two videos have it."""
    rows: dict[str, int] = {}
    for row, name in enumerate(names.tolist()):
        if not name:
            raise DataError(f"{split}: row {row}: the name of the video is empty")
        if rows.setdefault(name, row) != row:
            raise DataError(f"{split}: rows {rows[name]} and {row} have the same name, {name!r}")
