"""Average precision of a ranking, and of each class in it, with two rules for equal scores."""

from __future__ import annotations

import heapq
import math
import random
from typing import Any, Literal

import numpy as np

from acz.evaluation.metrics.labels import as_floats
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError

Ties = Literal["acz", "youtube-8m"]
"""The rank of equal scores: in the given order, or in the order of the official calculator."""


def average_precision(
    scores: Any, hits: Any, positives: int | None = None, at: int | None = None, ties: Ties = "acz"
) -> float:
    """Compute the average precision: sum over the hits of (hits so far / rank), divided by the positives.

    Args:
        scores: (predictions).
        hits: bool (predictions), true where a prediction is right.
        positives: the number of positives, those that were not predicted included. None: the number of hits.
        at: only the `at` best predictions count, and the divisor is at most `at`. None: all predictions count.
        ties: the rank of equal scores.

    Returns:
        0 .. 1; 0 where there are no positives.

    Raises:
        DataError: the scores are not numbers, one is NaN, or there are not as many hits.

    Source: AveragePrecisionCalculator.ap_at_n of the YouTube-8M starter code.
    """
    scores, hits = as_floats(scores), np.asarray(hits)
    if scores.ndim != 1 or scores.shape != hits.shape or np.isnan(scores).any():
        raise DataError(f"scores and hits must be (predictions) without NaN, got {scores.shape} and {hits.shape}")
    total = int(np.count_nonzero(hits)) if positives is None else positives
    if at is not None:
        total = min(total, at)
    if total == 0:
        return 0.0
    if ties == "youtube-8m":
        shuffled = shuffle(len(scores))
        scores, hits = scores[shuffled], hits[shuffled]
    ranked = hits.astype(np.bool_)[descending(scores)][:at]
    ranks = np.flatnonzero(ranked) + 1
    return math.fsum((np.arange(1, len(ranks) + 1) / ranks).tolist()) / total


def descending(scores: Array) -> Array:
    """Give the order of float scores (predictions) from high to low, int64. Equal scores keep their order."""
    bits = (scores + scores.dtype.type(0)).view(np.uint32 if scores.dtype == np.float32 else np.uint64)  # 0.0 for -0.0
    sign = bits.dtype.type(1 << 8 * bits.itemsize - 1)
    falling = np.where(
        bits & sign, bits, bits ^ (sign - bits.dtype.type(1))
    )  # integers that decrease as the scores increase
    order = np.arange(len(scores))
    for shift in range(0, 8 * bits.itemsize, 16):  # NumPy sorts 16 bits by counting, several times faster than numbers
        digit = (falling >> bits.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    return order


def shuffle(count: int) -> Array:
    """Give the permutation that the official calculator applies before it sorts, so that it prefers no equal score.

    The official calculator seeds Python's global generator. This function draws from a generator of its own.
    """
    return np.array(random.Random(0).sample(range(count), count), np.int64)


def heaped(scores: Array, hits: Array, most: int | None = None) -> tuple[Array, Array]:
    """Give scores and hits in the order of the official calculator's heap, after pushes in the given order.

    A heap of `most` predictions takes another one only where its score is above the least.
    """
    heap: list[tuple[float, bool]] = []
    for pair in zip(scores.tolist(), hits.tolist(), strict=True):
        if most is None or len(heap) < most:
            heapq.heappush(heap, pair)
        elif pair[0] > heap[0][0]:
            heapq.heappop(heap)  # not heapreplace, which leaves equal scores in another order
            heapq.heappush(heap, pair)
    return np.array([score for score, _ in heap], scores.dtype), np.array([hit for _, hit in heap], np.bool_)


def compute_precisions(scores: Array, classes: Array, hits: Array, positives: Array) -> tuple[float, Array]:
    """Compute GAP and the average precision of each class.

    Args:
        scores: (predictions), in the order of the numbers of their videos.
        classes: the class of each prediction, int (predictions).
        hits: bool (predictions), true where a prediction is right.
        positives: the number of labels of each class, int (classes).

    Returns:
        GAP, and the average precisions, (classes).
    """
    by_class = np.argsort(classes, kind="stable")  # by class, then number
    ranking = by_class[descending(scores[by_class])]  # by score, then class, then number
    ranks = np.flatnonzero(hits[ranking]) + 1
    precisions = np.arange(1, len(ranks) + 1) / ranks
    gap = math.fsum(precisions.tolist()) / max(int(positives.sum()), 1)

    ranking = ranking[np.argsort(classes[ranking], kind="stable")]  # by class, then score, then number
    places = np.flatnonzero(hits[ranking])
    of_class = classes[ranking[places]]
    ends = np.cumsum(np.bincount(classes, minlength=len(positives)))  # where the predictions of each class end
    hit_ends = np.cumsum(np.bincount(of_class, minlength=len(positives)))
    starts, hit_starts = np.r_[0, ends[:-1]], np.r_[0, hit_ends[:-1]]
    precisions = (np.arange(1, len(places) + 1) - hit_starts[of_class]) / (places + 1 - starts[of_class])
    addends = precisions.tolist()
    average = np.zeros(len(positives))
    for label in np.unique(of_class):
        average[label] = math.fsum(addends[hit_starts[label] : hit_ends[label]]) / int(positives[label])
    return gap, average


def compute_official_precisions(
    scores: Array, classes: Array, hits: Array, batches: Array, positives: Array
) -> tuple[float, Array]:
    """Compute the same as `compute_precisions`, with equal scores in the order of the official calculator.

    The calculator takes the predictions batch by batch, and in a batch class by class. `batches` is the batch of each
    prediction, int (predictions).
    """
    pushed = np.lexsort((classes, batches))
    scores, classes, hits = scores[pushed], classes[pushed], hits[pushed]
    gap = average_precision(*heaped(scores, hits), positives=int(positives.sum()), ties="youtube-8m")
    ends = np.cumsum(np.bincount(classes, minlength=len(positives)))
    by_class = np.argsort(classes, kind="stable")
    average = np.zeros(len(positives))
    for label, (end, count) in enumerate(zip(ends.tolist(), positives.tolist(), strict=True)):
        own = by_class[ends[label - 1] if label else 0 : end]
        average[label] = average_precision(*heaped(scores[own], hits[own]), positives=count, ties="youtube-8m")
    return gap, average
