"""Labels in the forms that data come in, as (videos, classes) of bool."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


def present_labels(
    labels: Array | Sequence[Sequence[int]], videos: int, classes: int, numbers: Array
) -> Callable[[slice], Array]:
    """What gives the labels of a slice of the videos, (videos, classes) of bool, so that never all are there at once.

    labels: an array (videos, classes), above 0 where a video has the label; an array (videos) of one class each; or for each
    video a sequence of its classes, in which one may be repeated. Raises DataError, with the video's number.
    """
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        if labels.shape != (videos, classes) or labels.dtype.kind not in "fiub":
            raise DataError(f"labels must be numbers ({videos}, {classes}), got {labels.dtype} {labels.shape}")
        whole = labels
        return lambda rows: whole[rows] > 0
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        labels = labels[:, None] if labels.ndim == 1 else labels
    if len(labels) != videos:
        raise DataError(f"there are {videos} videos and the labels of {len(labels)}")
    lists = [_classes_of(one, classes, number) for one, number in zip(labels, numbers, strict=True)]

    def present(rows: slice) -> Array:
        here = lists[rows]
        found = np.zeros((len(here), classes), np.bool_)
        found[np.repeat(np.arange(len(here)), [len(one) for one in here]), np.concatenate([*here, _NONE])] = True
        return found

    return present


_NONE = np.empty(0, np.int64)


def _classes_of(labels: Sequence[int], classes: int, number: int) -> Array:
    """The classes of one video, int64."""
    found = np.asarray(labels)
    if found.ndim == 1 and len(found) == 0:
        return _NONE
    if found.ndim != 1 or found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= classes:
        raise DataError(f"video {number}: its labels must be classes of 0 .. {classes - 1}, got {labels!r:.80}")
    return found.astype(np.int64)
