"""The labels of videos: a class each, zeros and ones by class, or a list of classes for each video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.arrays.features import IN_MEMORY, take_rows
from acz.data.arrays.label_files import read_label_file
from acz.data.shards import as_array
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.npy import map_npy

ROWS = 65536
"""Rows of zeros and ones that are checked at once."""
NOTHING = -1
"""The value that fills up a row of classes."""


@dataclass(frozen=True)
class Labels:
    """The labels of a split's videos."""

    origin: str
    videos: int
    several: bool
    """True where a video may have any number of labels."""
    least: int
    """The fewest classes that have all these labels."""
    place: str
    """The place of the largest class, for messages."""
    classes: int | None
    """The number of classes, where the labels have a column for each."""
    rows: Callable[[Array, int], Array]
    """`rows(numbers, classes)`: zeros and ones of these videos, uint8 (videos, classes)."""
    single: Array | None = None
    """The class of each video, int64 (videos), where each has exactly one."""
    names: list[str] = field(default_factory=list)
    """The names of the videos, where the labels come with names."""

    def read(self, numbers: Array, classes: int, several: bool) -> Array:
        """The labels of these videos as they are stored."""
        if several:
            return self.rows(numbers, classes)
        assert self.single is not None
        return self.single[numbers]

    def in_order_of(self, names: Sequence[str], origin: str) -> Labels:
        """These labels in the order of names of videos, of which each must be here once. Raises DataError."""
        place = {name: row for row, name in enumerate(self.names)}
        if len(place) < len(self.names):
            twice = next(name for row, name in enumerate(self.names) if place[name] != row)
            raise DataError(f"{self.origin}: has the video {twice!r} twice")
        missing = next((name for name in names if name not in place), None)
        if missing is not None:
            raise DataError(f"{self.origin}: has no labels of the video {missing!r}, which {origin} has")
        order = np.array([place[name] for name in names], np.int64)
        lists = [np.flatnonzero(self.rows(order[row : row + 1], self.least)[0]) for row in range(len(order))]
        return _of_lists(lists, self.origin, lambda row: f"video {names[row]!r}", list(names), self.several)


def open_labels(value: Any) -> Labels:
    """Open the labels of a split.

    Args:
        value: Integers (videos), the class of each; zeros and ones (videos, classes); classes (videos, most) filled up
            with -1; a class or a list of classes for each video; or a file of these, .npy, .json, .csv, .tsv or .txt.

    Raises:
        DataError: A label is not the number of a class; the message has the file, the row or line, and the value.
    """
    if isinstance(value, str | Path):
        path = Path(value)
        if path.suffix != ".npy":
            read = read_label_file(path)
            return _of_sequence(read.labels, str(path), read.place, read.names)
        return _of_array(map_npy(path), str(path))
    origin = IN_MEMORY.format("labels")
    if hasattr(value, "__array__") and (array := as_array(value, origin)).dtype != np.object_:
        return _of_array(array, origin)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, bytes):
        raise DataError(f"{origin}: must be an array, a list for each video or a file, got {type(value).__name__}")
    return _of_sequence(list(value), origin, lambda row: f"row {row}", [])


def _of_array(array: Array, origin: str) -> Labels:
    if array.ndim not in (1, 2) or array.dtype.kind not in "biuf" or array.size == 0:
        raise DataError(
            f"{origin}: labels are classes (videos) or zeros and ones (videos, classes), got {array.dtype} {array.shape}"
        )
    if array.ndim == 1:
        classes = _whole(array, origin)
        return _of_flat(classes, np.ones(len(classes), np.int64), origin, lambda row: f"row {row}", [], False)
    if array.dtype.kind in "if" and any((array[start : start + ROWS] == NOTHING).any() for start in _starts(array)):
        lists = [row[row != NOTHING] for row in _whole(array, origin)]
        return _of_lists(lists, origin, lambda row: f"row {row}", [], True)
    for start in _starts(array):
        rows = array[start : start + ROWS]
        bad = (rows != 0) & (rows != 1)
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            raise DataError(
                f"{origin}: row {start + row}, column {column}: {rows[row, column]} is neither 0 nor 1; labels (videos, "
                "classes) are zeros and ones, and lists of classes are filled up with -1"
            )
    videos, width = array.shape

    def rows_of(numbers: Array, classes: int) -> Array:
        zeros_and_ones = np.zeros((len(numbers), classes), np.uint8)
        zeros_and_ones[:, :width] = take_rows(array, numbers) != 0
        return zeros_and_ones

    return Labels(origin, videos, True, width, f"{width} columns", width, rows_of)


def _starts(array: Array) -> range:
    return range(0, len(array), ROWS)


def _whole(array: Array, origin: str) -> Array:
    """Numbers as int64. Raises DataError where one is not whole."""
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    bad = ~(np.isfinite(array) & (np.abs(array) < 2**53)) | (array != np.floor(array))
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise DataError(f"{origin}: row {row}: {array[bad][0]} is not the number of a class")
    return array.astype(np.int64)


def _of_sequence(values: Any, origin: str, place: Callable[[int], str], names: list[str]) -> Labels:
    """Labels of a sequence with a class, a list of classes, or a row of zeros and ones for each video."""
    rows = [as_array(value, f"{origin}: {place(number)}") for number, value in enumerate(values)]
    for number, row in enumerate(rows):
        if row.ndim > 1 or (row.size and row.dtype.kind not in "biuf"):
            raise DataError(
                f"{origin}: {place(number)}: {values[number]!r:.80} is not the number of a class, or a list of numbers"
            )
    if _are_zeros_and_ones(rows, origin):
        table = np.stack(rows)
        labels = _of_array(table, origin)
        return Labels(origin, len(rows), True, labels.least, labels.place, labels.classes, labels.rows, None, names)
    lists = []
    for number, row in enumerate(rows):
        whole = row.astype(np.int64) if row.dtype.kind in "iu" or not row.size else None
        if whole is None and row.dtype.kind == "f" and np.isfinite(row).all() and (row == np.floor(row)).all():
            whole = row.astype(np.int64)
        if whole is None:
            raise DataError(f"{origin}: {place(number)}: {values[number]!r:.80} is not the number of a class")
        lists.append(np.atleast_1d(whole))
    single = bool(rows) and all(row.ndim == 0 for row in rows)
    return _of_lists(lists, origin, place, names, not single)


def _are_zeros_and_ones(rows: list[Array], origin: str) -> bool:
    """Tell rows of zeros and ones for each class from lists of classes. Raises DataError where they can be both."""
    width = len(rows[0]) if rows and rows[0].ndim == 1 else 0
    if width < 2 or any(row.shape != (width,) or ((row != 0) & (row != 1)).any() for row in rows):
        return False
    if width == 2 and all(row[0] != row[1] and row.dtype.kind in "iu" for row in rows):
        raise DataError(
            f"{origin}: these labels can be read as zeros and ones for two classes, and as lists of two classes; pass "
            "them as a NumPy array of zeros and ones"
        )
    return True


def _of_lists(lists: list[Array], origin: str, place: Callable[[int], str], names: list[str], several: bool) -> Labels:
    """Labels of a list of classes for each video."""
    flat = np.concatenate([*lists, np.empty(0, np.int64)])
    return _of_flat(flat, np.array([len(row) for row in lists], np.int64), origin, place, names, several)


def _of_flat(
    flat: Array, counts: Array, origin: str, place: Callable[[int], str], names: list[str], several: bool
) -> Labels:
    """Labels of the classes of all videos, one after the other, and of the number of classes of each video."""
    starts = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(counts)), counts)
    if (flat < 0).any():
        at = int((flat < 0).argmax())
        raise DataError(
            f"{origin}: {place(int(owner[at]))}: {flat[at]} is not the number of a class; they count from 0"
        )
    largest = int(flat.argmax()) if len(flat) else 0

    def rows_of(numbers: Array, classes: int) -> Array:
        zeros_and_ones = np.zeros((len(numbers), classes), np.uint8)
        for row, (start, count) in enumerate(zip(starts[numbers].tolist(), counts[numbers].tolist(), strict=True)):
            zeros_and_ones[row, flat[start : start + count]] = 1
        return zeros_and_ones

    where = f"{place(int(owner[largest]))}: class {flat[largest]}" if len(flat) else "no labels"
    least = int(flat.max(initial=-1)) + 1
    single = flat if (counts == 1).all() else None
    return Labels(origin, len(counts), several, least, where, None, rows_of, single, names)
