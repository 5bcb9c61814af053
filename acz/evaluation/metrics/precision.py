"""Average precision of a ranking, with two rules for equal scores."""

from __future__ import annotations

import heapq
import math
import random
from typing import Literal

import numpy as np

from acz.foundation.arrays import Array

Ties = Literal["acz", "youtube-8m"]
"""How equal scores are ranked: in the order given, or as the official calculator does it."""


def average_precision(
    scores: Array, hits: Array, positives: int | None = None, at: int | None = None, ties: Ties = "acz"
) -> float:
    """The mean, over the positives, of the precision down to each hit: sum over hits of (hits so far / rank) / positives.

    scores and hits (predictions). `positives` counts those that were not predicted too; by default they are the hits. `at`
    looks at so many best predictions, and divides by no more than that. 0 where there are no positives.
    Source: AveragePrecisionCalculator.ap_at_n of the YouTube-8M starter code.
    """
    total = int(np.count_nonzero(hits)) if positives is None else positives
    if at is not None:
        total = min(total, at)
    if total == 0:
        return 0.0
    if ties == "youtube-8m":
        shuffled = shuffle(len(scores))
        scores, hits = scores[shuffled], hits[shuffled]
    ranked = np.asarray(hits, np.bool_)[descending(scores)][:at]
    ranks = np.flatnonzero(ranked) + 1
    return math.fsum((np.arange(1, len(ranks) + 1) / ranks).tolist()) / total


def descending(scores: Array) -> Array:
    """The order of float32 or float64 scores (predictions) from high to low, int64; equal ones as they stand."""
    bits = (scores + scores.dtype.type(0)).view(np.uint32 if scores.dtype == np.float32 else np.uint64)  # 0.0 for -0.0
    sign = bits.dtype.type(1 << 8 * bits.itemsize - 1)
    falling = np.where(bits & sign, bits, bits ^ (sign - bits.dtype.type(1)))  # integers that fall as the scores rise
    order = np.arange(len(scores))
    for shift in range(0, 8 * bits.itemsize, 16):  # NumPy sorts 16 bits by counting, several times faster than numbers
        digit = (falling >> bits.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    return order


def shuffle(count: int) -> Array:
    """The permutation that the official calculator applies before it sorts, so that no order among equals is favoured.

    It seeds Python's global generator to draw it; this one is drawn from a generator of its own.
    """
    return np.array(random.Random(0).sample(range(count), count), np.int64)


def heaped(scores: Array, hits: Array) -> tuple[Array, Array]:
    """Scores and hits in the order in which they lie in the official calculator's heap after they were pushed in this one."""
    heap: list[tuple[float, bool]] = []
    for pair in zip(scores.tolist(), hits.tolist(), strict=True):
        heapq.heappush(heap, pair)
    return np.array([score for score, _ in heap], scores.dtype), np.array([hit for _, hit in heap], np.bool_)
