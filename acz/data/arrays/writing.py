"""Writing the arrays of a data set as a folder of shards, in the format of `acz.data.folder`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.data.arrays.labels import Labels
from acz.data.arrays.split import GivenSplit
from acz.data.folder import write_manifest, write_shard
from acz.data.shards import ID, LABELS, LENGTHS
from acz.data.vocabulary import MOST_CLASSES
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import remove_leftovers
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.locks import locked

SETTINGS = "settings.json"
SHARD_BYTES, SHARD_VIDEOS = 2**27, 8192
"""The most bytes and videos of a shard. About two shards are in memory at once."""


@dataclass(frozen=True)
class Classes:
    """The classes of all labels of a data set."""

    count: int
    several: bool
    """True where videos may have any number of labels, which are then stored as zeros and ones."""


def choose_classes(labels: Sequence[Labels], classes: int | None, several: bool | None) -> Classes | None:
    """The classes that the labels of all splits have; None where there are no labels.

    Args:
        labels: The labels of the splits that have any.
        classes: The number of classes; None: that of the columns, or the largest class and 1.
        several: True or False to store labels as zeros and ones, or as a class each; None: as they are given.

    Raises:
        DataError: Splits have different numbers of columns, a label is beyond the classes, or a video does not have
            exactly one label and `several` is False.
    """
    if not labels:
        return None
    columns = {own.classes: own for own in labels if own.classes is not None}
    if len(columns) > 1:
        words = " and ".join(f"{own.origin} {count:,}" for count, own in columns.items())
        raise DataError(f"labels must have the same classes in all splits; the columns are {words}")
    count = classes or next(iter(columns), None) or max(1, *(own.least for own in labels))
    for own in labels:
        if own.least > MOST_CLASSES:
            raise DataError(f"{own.origin}: {own.place}; at most {MOST_CLASSES:,} classes are possible")
        if own.least > count:
            raise DataError(f"{own.origin}: {own.place} is beyond the {count:,} classes, 0 .. {count - 1}")
    chosen = any(own.several for own in labels) if several is None else several
    for own in labels:
        if not chosen and own.single is None:
            raise DataError(f"{own.origin}: a video does not have exactly one label; leave out --one-label")
    return Classes(count, chosen)


def require_alike(splits: Mapping[str, GivenSplit]) -> None:
    """Raise DataError where splits have other inputs, or other shapes of a frame, than the first one."""
    first, *others = splits
    for other in others:
        for name in {**splits[first].inputs, **splits[other].inputs}:
            words = []
            for split in (first, other):
                features = splits[split].inputs.get(name)
                shape = None if features is None else features.shape[1:] if len(features.shape) == 2 else features.shape
                words.append("no" if features is None else f"{features.dtype} {shape}")
            if words[0] != words[1]:
                raise DataError(f"'{name}' must be alike in all splits: {first} has {words[0]}, {other} has {words[1]}")


def write_arrays(
    splits: Mapping[str, GivenSplit],
    out: Path,
    classes: Classes | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the videos of every split. The folder can be read when all of them are there.

    Args:
        splits: The splits by name.
        out: The folder to write. One that an interrupted call left is written again.
        classes: The classes of the labels.
        progress: Is called with the videos that are done, and all of them.

    Raises:
        DataError: `out` holds something else, or a value is not finite.
        OSError: The disk is full, or the folder is read-only.
    """
    made = {
        "what": "arrays",
        **({"classes": classes.count} if classes else {}),
        "splits": {name: {"videos": split.videos, **split.origins} for name, split in splits.items()},
    }
    with locked(out):
        if (out / "manifest.json").exists():
            raise DataError(f"{out} holds a finished data set; choose another --out, or remove it")
        claim_folder(out, SETTINGS, made)
        remove_leftovers(out)
        write_splits(splits, out, classes, made, progress)


def write_splits(
    splits: Mapping[str, GivenSplit],
    out: Path,
    classes: Classes | None,
    made: Mapping[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the shards of every split, and then the manifest. Only while the folder is locked.

    Args:
        splits: The splits by name.
        out: The folder.
        classes: The classes of the labels.
        made: Facts of the making, for the manifest.
        progress: Is called with the videos that are done, and all of them.

    Raises:
        DataError: A value is not finite.
        OSError: The disk is full, or the folder is read-only.
    """
    total, done = sum(split.videos for split in splits.values()), 0
    written: dict[str, list[dict[str, Any]]] = {}
    for name, split in splits.items():
        step, written[name] = _videos_of_a_shard(split, classes), []
        for start in range(0, split.videos, step):
            stop = min(start + step, split.videos)
            arrays = _arrays(split, split.numbers[start:stop], classes)
            written[name].append(write_shard(out, name, start // step, arrays))
            done += stop - start
            progress(done, total)
    write_manifest(out, written, made)


def model_inputs(splits: Mapping[str, GivenSplit]) -> dict[str, dict[str, Any]]:
    """The inputs of a model that reads these splits, as a configuration gives them."""
    inputs: dict[str, dict[str, Any]] = {}
    for split in splits.values():
        for name, features in split.inputs.items():
            entry = inputs.setdefault(name, {})
            if len(features.shape) == 2:
                frames, width = features.shape
                entry |= {"frames": max(frames, entry.get("frames", 0)), "features": width}
            else:
                entry["shape"] = list(features.shape)
            if features.dtype.kind == "u":
                entry["dtype"] = "uint8"
    return inputs


def _arrays(split: GivenSplit, numbers: Array, classes: Classes | None) -> dict[str, Array]:
    arrays = {}
    for name, features in split.inputs.items():
        arrays[name] = features.read(numbers)
        if features.lengths is not None:
            arrays[f"{name}{LENGTHS}"] = features.lengths[numbers]
    if split.labels is not None and classes is not None:
        arrays[LABELS] = split.labels.read(numbers, classes.count, classes.several)
    if split.names is not None:
        arrays[ID] = split.names[numbers]
    return arrays


def _videos_of_a_shard(split: GivenSplit, classes: Classes | None) -> int:
    """The number of videos of a shard, by the size of a video."""
    size = sum(math.prod(features.shape) * features.dtype.itemsize for features in split.inputs.values())
    size += classes.count if classes and classes.several else 0
    return max(1, min(SHARD_VIDEOS, SHARD_BYTES // size))
