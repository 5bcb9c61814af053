"""Counts of right and wrong predictions, by class and by digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acz.foundation.arrays import Array


@dataclass(frozen=True)
class Digits:
    """Mistakes on Flash-MNIST's videos, by digit."""

    recall: Array
    """(10,); NaN where no video shows the digit."""
    precision: Array
    """(10,); NaN where the digit is never predicted."""
    instead: Array
    """(10, 10): videos where the row's digit was missed and the column's was predicted without being there."""
    wrong: Array
    """(11,): videos by the number of digits that are wrong."""


def by_digit(labels: Array, best: Array) -> Digits:
    """Compare sets of digits.

    Args:
        labels: (videos): the true sets; bit d says that digit d is shown.
        best: (videos): the predicted sets, as bits too.
    """
    true, seen = (((sets[:, None] >> np.arange(10)) & 1).astype(np.int64) for sets in (labels, best))  # (videos, 10)
    right = (true & seen).sum(axis=0)
    missed, false = true & (1 - seen), seen & (1 - true)
    with np.errstate(invalid="ignore"):
        recall, precision = right / true.sum(axis=0), right / seen.sum(axis=0)
    wrong = np.bincount((missed | false).sum(axis=1), minlength=11)
    return Digits(recall, precision, missed.T @ false, wrong)


def matrix(labels: Array, best: Array, classes: int) -> Array:
    """Count videos by true class (rows) and predicted class (columns)."""
    flat = np.bincount(labels * classes + best, minlength=classes * classes)
    return flat.reshape(classes, classes)


def most_confused(labels: Array, best: Array, count: int = 15) -> list[tuple[int, int, int]]:
    """The `count` pairs (true, predicted, videos) that are confused most often. Ties go to the smaller classes."""
    wrong = labels != best
    pairs, videos = np.unique(np.stack([labels[wrong], best[wrong]], axis=1), axis=0, return_counts=True)
    order = np.argsort(-videos, kind="stable")[:count]
    return [(int(pairs[i, 0]), int(pairs[i, 1]), int(videos[i])) for i in order]


def most_missed(right: Array, missed: Array, count: int = 15) -> list[int]:
    """The `count` classes whose labels are missed most often. Ties go to the smaller class.

    Args:
        right: (classes): labels that were predicted.
        missed: (classes): labels that were not predicted.
    """
    order = np.argsort(-missed, kind="stable")[:count]
    return [int(i) for i in order if right[i] + missed[i]]
