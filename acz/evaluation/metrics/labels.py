"""Labels of all forms as bool (videos, classes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


def present_labels(
    labels: Array | Sequence[Sequence[int]], videos: int, classes: int, numbers: Array
) -> Callable[[slice], Array]:
    """Give a function that makes the labels of a slice of the videos, so that never all are in memory.

    Args:
        labels: an array (videos, classes), above 0 where a video has the label; an array (videos), the class of each
            video; or a sequence of classes for each video. A class may be repeated.
        videos: the number of videos.
        classes: the number of classes.
        numbers: the number of each video, for messages, (videos).

    Returns:
        A function from a slice of the videos to their labels, bool (videos, classes).

    Raises:
        DataError: the labels are not those of the videos. The message has the number of the video.
    """
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        if labels.shape != (videos, classes) or labels.dtype.kind not in "fiub":
            raise DataError(f"labels must be numbers ({videos}, {classes}), got {labels.dtype} {labels.shape}")
        dense = labels
        return lambda rows: dense[rows] > 0
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        labels = labels[:, None] if labels.ndim == 1 else labels
    if len(labels) != videos:
        raise DataError(f"there are {videos} videos, but the labels of {len(labels)} videos")
    lists = [_classes_of(video, classes, number) for video, number in zip(labels, numbers, strict=True)]

    def labels_of(rows: slice) -> Array:
        chosen = lists[rows]
        present = np.zeros((len(chosen), classes), np.bool_)
        present[np.repeat(np.arange(len(chosen)), list(map(len, chosen))), np.concatenate([*chosen, _NONE])] = True
        return present

    return labels_of


_NONE = np.empty(0, np.int64)


def _classes_of(labels: Sequence[int], classes: int, number: int) -> Array:
    """The classes of one video, int64."""
    own = np.asarray(labels)
    if own.ndim == 1 and len(own) == 0:
        return _NONE
    if own.ndim != 1 or own.dtype.kind not in "iu" or own.min() < 0 or own.max() >= classes:
        raise DataError(f"video {number}: its labels must be classes of 0 .. {classes - 1}, got {labels!r:.80}")
    return own.astype(np.int64)
