"""Labels of all forms as bool (videos, classes), and scores as floats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from acz.data.shards import as_array
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


def as_floats(scores: Any) -> Array:
    """Scores as float32 or float64. Raises DataError where they are not numbers."""
    scores = as_array(scores, "scores")
    if scores.dtype.kind not in "fiub":
        raise DataError(f"scores must be numbers, got {scores.dtype}")
    exact = scores.dtype.kind in "iu" or scores.dtype.itemsize > 4
    return scores.astype(np.float64 if exact else np.float32, copy=False)


def present_labels(labels: Any, videos: int, classes: int, numbers: Array) -> Callable[[slice], Array]:
    """Give a function that makes the labels of a slice of the videos, so that never all are in memory.

    Args:
        labels: an array (videos, classes), above 0 where a video has the label; an array (videos), the class of each
            video; or a sequence of classes for each video. A class may be repeated. Anything that NumPy takes for an
            array counts as one: a tensor, or lists. Lists of zeros and ones, as wide as there are classes, are the first.
            SciPy's sparse matrices (videos, classes) are read part by part.
        videos: the number of videos.
        classes: the number of classes.
        numbers: the number of each video, for messages, (videos).

    Returns:
        A function from a slice of the videos to their labels, bool (videos, classes).

    Raises:
        DataError: the labels are not those of the videos, or can be read in two ways. The message has the number of the
            video, or what to pass.
    """
    if hasattr(labels, "tocsr"):
        labels = labels.tocsr()
    elif hasattr(labels, "__array__"):
        labels = as_array(labels, "labels")
    if hasattr(labels, "tocsr") or (isinstance(labels, np.ndarray) and labels.dtype != np.object_ and labels.ndim != 1):
        if labels.shape != (videos, classes) or labels.dtype.kind not in "fiub":
            raise DataError(f"labels must be numbers ({videos}, {classes}), got {labels.dtype} {labels.shape}")
        table = labels
        return lambda rows: _are_present(table[rows], numbers[rows])
    if not isinstance(labels, (Iterable, np.ndarray)) or isinstance(labels, (str, bytes, Mapping)):
        raise DataError(
            f"labels must be an array ({videos}, {classes}), or classes for each video; got {type(labels).__name__}"
        )
    values = [as_array(sorted(video) if isinstance(video, Set) else video, "labels") for video in labels]
    if len(values) != videos:
        raise DataError(f"there are {videos} videos, but the labels of {len(values)} videos")
    if _are_multi_hot(values, classes):
        return lambda rows: np.stack(values[rows]) > 0 if values[rows] else np.zeros((0, classes), np.bool_)
    if values and all(value.ndim == 0 for value in values):
        values = [value[None] for value in values]
    lists = [_check_classes(value, classes, number) for value, number in zip(values, numbers, strict=True)]

    def labels_of(rows: slice) -> Array:
        chosen = lists[rows]
        present = np.zeros((len(chosen), classes), np.bool_)
        present[np.repeat(np.arange(len(chosen)), list(map(len, chosen))), np.concatenate([*chosen, _NONE])] = True
        return present

    return labels_of


_NONE = np.empty(0, np.int64)


def _are_present(rows: Any, numbers: Array) -> Array:
    """Tell where rows of an array or of a sparse matrix are above 0. Raises DataError where a value is below 0 or NaN."""
    values = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows)
    if values.dtype.kind in "fi" and (bad := ~(values >= 0)).any():
        row, label = (int(place) for place in np.argwhere(bad)[0])
        raise DataError(
            f"video {numbers[row]}: its label of class {label} is {values[row, label]}; it must be 0, or above 0"
        )
    return values > 0


def _are_multi_hot(values: Sequence[Array], classes: int) -> bool:
    """Tell whether rows are zeros and ones for each class, and not lists of classes.

    Raises:
        DataError: they can be both, as there are one or two classes.
    """
    if not values or any(value.shape != (classes,) or value.dtype.kind not in "fiub" for value in values):
        return False
    if any(value.dtype.kind in "fb" for value in values):
        return True
    if any(((value != 0) & (value != 1)).any() for value in values):
        return False
    if classes <= 2:
        raise DataError(
            "these labels can be read as zeros and ones for each class, and as lists of classes; pass them as a NumPy "
            f"array ({len(values)}, {classes}) of zeros and ones"
        )
    return True


def _check_classes(own: Array, classes: int, number: int) -> Array:
    """The classes of one video, int64."""
    if own.ndim == 1 and len(own) == 0:
        return _NONE
    if own.ndim != 1 or own.dtype.kind not in "iu" or own.min() < 0 or own.max() >= classes:
        raise DataError(f"video {number}: its labels must be classes of 0 .. {classes - 1}, got {own.tolist()!r:.80}")
    return own.astype(np.int64)
