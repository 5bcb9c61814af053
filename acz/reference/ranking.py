"""The best classes of each video: the same ones whatever NumPy's version, and fast where few of many are wanted."""

from __future__ import annotations

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError

ROWS = 128
"""Videos at once: their scores stay in the processor's cache between the two looks at them."""
GROUPS = 96
"""Groups that the classes are dealt into, at least; more narrow the candidates, and cost more to rank."""
FOLDS = 4
"""The maxima of FOLDS times more groups are taken first, since processors reduce long rows fast."""
MOST_CANDIDATES = 64
"""Candidates beyond `count` with which a video still takes the short way; ties make more."""


def top_classes(scores: Array, count: int, numbers: Array | None = None) -> tuple[Array, Array]:
    """The `count` best classes of each video, best first; among equal scores the smaller class comes first.

    Args:
        scores: floating-point numbers, (videos, classes).
        count: at most the number of classes.
        numbers: names of the videos in errors, (videos); by default their places.

    Returns:
        Classes and their scores, both (videos, count).

    Raises:
        DataError: a score is NaN.
    """
    names = np.arange(len(scores)) if numbers is None else numbers
    classes = np.empty((len(scores), count), np.int64)
    best = np.empty((len(scores), count), scores.dtype)
    groups = max(GROUPS, 4 * count)
    select = _by_threshold if scores.shape[1] >= FOLDS * groups else _by_sorting
    for start in range(0, len(scores), ROWS):
        rows = slice(start, start + ROWS)
        classes[rows], best[rows] = select(scores[rows], count, groups, names[rows])
    return classes, best


def refuse_nan(values: Array, numbers: Array) -> None:
    """Raise DataError where a score is NaN, with its video's number.

    Args:
        values: scores, or maxima of scores, which are NaN where one of them is, (videos, any).
        numbers: names of the videos, (videos).
    """
    if np.isnan(values).any():
        raise DataError(f"video {numbers[int(np.isnan(values).any(axis=1).argmax())]}: a score is NaN")


def _by_sorting(scores: Array, count: int, groups: int, numbers: Array) -> tuple[Array, Array]:
    refuse_nan(scores, numbers)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(scores, order, axis=1)


def _by_threshold(scores: Array, count: int, groups: int, numbers: Array) -> tuple[Array, Array]:
    """Rank only the candidates: classes that reach the `count`-th best of the groups' maxima. The best `count` all do.

    Class c belongs to group c modulo `groups`, because neighbours in a vocabulary sorted by frequency score alike.
    """
    videos, classes = scores.shape
    width = FOLDS * groups
    depth = classes // width
    maxima = scores[:, : depth * width].reshape(videos, depth, width).max(axis=1)
    rest = scores[:, depth * width :]
    np.maximum(maxima[:, : rest.shape[1]], rest, out=maxima[:, : rest.shape[1]])
    maxima = maxima.reshape(videos, FOLDS, groups).max(axis=1)  # (videos, groups)
    refuse_nan(maxima, numbers)
    threshold = np.sort(maxima, axis=1)[:, groups - count]
    flat = np.flatnonzero(scores >= threshold[:, None])
    video = flat // classes
    candidates = np.bincount(video, minlength=videos)
    many = candidates > count + MOST_CANDIDATES
    if many.any():
        order, best = np.empty((videos, count), np.int64), np.empty((videos, count), scores.dtype)
        order[many], best[many] = _by_sorting(scores[many], count, groups, numbers[many])
        if not many.all():
            order[~many], best[~many] = _by_threshold(scores[~many], count, groups, numbers[~many])
        return order, best
    place = np.arange(len(flat)) - (np.cumsum(candidates) - candidates)[video]
    width = int(candidates.max(initial=count))
    negated = np.full((videos, width), np.inf, scores.dtype)
    named = np.zeros((videos, width), np.int64)
    negated[video, place] = -scores.reshape(-1)[flat]
    named[video, place] = flat - video * classes
    order = np.argsort(negated, axis=1, kind="stable")[:, :count]  # candidates stand in the order of their classes
    return np.take_along_axis(named, order, axis=1), -np.take_along_axis(negated, order, axis=1)


def best_first(scores: Array, classes: Array) -> tuple[Array, Array]:
    """Predictions in the order in which they rank; NOTHING comes last.

    Args:
        scores: (videos, k).
        classes: (videos, k).

    Returns:
        The same scores and classes, sorted.
    """
    filled = classes != NOTHING
    order = np.lexsort((classes, -np.where(filled, scores, -np.inf), ~filled), axis=1)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(classes, order, axis=1)


NOTHING = -1
"""In place of a class: here is no prediction."""
