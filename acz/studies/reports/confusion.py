"""What a model mistakes for what, from its predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acz.foundation.arrays import Array


@dataclass(frozen=True)
class Digits:
    """Flash-MNIST's videos by digit. `recall`, `precision` (10), of which NaN where nothing was there;
    `instead` (10, 10), videos where the row's digit was missed and the column's was seen without being there;
    `wrong` (11), videos by the number of digits that are wrong."""

    recall: Array
    precision: Array
    instead: Array
    wrong: Array


def by_digit(labels: Array, best: Array) -> Digits:
    """Compare sets of digits: `labels` and `best` (videos) are sets as bits."""
    true, seen = (((sets[:, None] >> np.arange(10)) & 1).astype(np.int64) for sets in (labels, best))  # (videos, 10)
    right = (true & seen).sum(axis=0)
    missed, false = true & (1 - seen), seen & (1 - true)
    with np.errstate(invalid="ignore"):
        recall, precision = right / true.sum(axis=0), right / seen.sum(axis=0)
    wrong = np.bincount((missed | false).sum(axis=1), minlength=11)
    return Digits(recall, precision, missed.T @ false, wrong)


def matrix(labels: Array, best: Array, classes: int) -> Array:
    """Videos by true class (rows) and predicted class (columns)."""
    flat = np.bincount(labels * classes + best, minlength=classes * classes)
    return flat.reshape(classes, classes)


def most_confused(labels: Array, best: Array, count: int = 15) -> list[tuple[int, int, int]]:
    """The pairs (true, predicted, videos) that are confused most often; of equals the smaller classes first."""
    wrong = labels != best
    pairs, videos = np.unique(np.stack([labels[wrong], best[wrong]], axis=1), axis=0, return_counts=True)
    order = np.argsort(-videos, kind="stable")[:count]
    return [(int(pairs[i, 0]), int(pairs[i, 1]), int(videos[i])) for i in order]


def most_missed(right: Array, missed: Array, count: int = 15) -> list[int]:
    """The classes of the most labels that were missed; of equals the smaller first."""
    order = np.argsort(-missed, kind="stable")[:count]
    return [int(i) for i in order if right[i] + missed[i]]
