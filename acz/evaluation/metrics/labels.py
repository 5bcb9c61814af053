"""Labels of all forms as bool (videos, classes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


def present_labels(labels: Any, videos: int, classes: int, numbers: Array) -> Callable[[slice], Array]:
    """Give a function that makes the labels of a slice of the videos, so that never all are in memory.

    Args:
        labels: an array (videos, classes), above 0 where a video has the label; an array (videos), the class of each
            video; or a sequence of classes for each video. A class may be repeated. Anything that NumPy takes for an
            array counts as one: a tensor, or lists. Lists of zeros and ones, as wide as there are classes, are the first.
        videos: the number of videos.
        classes: the number of classes.
        numbers: the number of each video, for messages, (videos).

    Returns:
        A function from a slice of the videos to their labels, bool (videos, classes).

    Raises:
        DataError: the labels are not those of the videos, or can be read in two ways. The message has the number of the
            video, or what to pass.
    """
    if hasattr(labels, "__array__"):
        labels = np.asarray(labels)
    if isinstance(labels, np.ndarray) and labels.dtype != np.object_ and labels.ndim != 1:
        if labels.shape != (videos, classes) or labels.dtype.kind not in "fiub":
            raise DataError(f"labels must be numbers ({videos}, {classes}), got {labels.dtype} {labels.shape}")
        dense = labels
        return lambda rows: dense[rows] > 0
    if len(labels) != videos:
        raise DataError(f"there are {videos} videos, but the labels of {len(labels)} videos")
    values = [np.asarray(video) for video in labels]
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
