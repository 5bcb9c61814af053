"""Mean average precision over rated pairs of a video, or a segment of one, and a class: MAP@K of the challenge of 2019."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from acz.evaluation.metrics.columns import Columns
from acz.evaluation.metrics.precision import Ties, average_precision, heaped
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError

K = 100_000
"""The best predictions of each class that count."""


class RatedPairs:
    """The scores of the pairs of a segment and a class that somebody rated. Other pairs count nowhere.

    A rating above 0 says that the segment shows the class. If each segment has its number, batches, processes and the
    order of merging do not change the result.
    """

    def __init__(self) -> None:
        empty = {"scores": np.float32, "classes": np.int32, "hits": np.bool_, "number": np.int64}
        self.rows = Columns({name: np.empty(0, kind) for name, kind in empty.items()})

    def __len__(self) -> int:
        """The number of rated pairs."""
        return len(self.rows)

    def update(self, scores: Array, labels: Array, numbers: Array) -> None:
        """Add segments.

        Args:
            scores: (segments, classes).
            labels: the rating of each class, (segments, classes); below 0 where it has none.
            numbers: the number of each segment, int (segments).

        Raises:
            DataError: the score of a rated pair is NaN.
        """
        segments, classes = np.nonzero(labels >= 0)
        own = scores[segments, classes]
        if np.isnan(own).any():
            raise DataError(f"the score of segment {numbers[segments[int(np.isnan(own).argmax())]]} is NaN")
        hits = labels[segments, classes] > 0
        self.rows.extend(
            {"scores": own, "classes": classes.astype(np.int32), "hits": hits, "number": numbers[segments]}
        )

    def arrays(self) -> dict[str, Array]:
        """Give all pairs as arrays by name, for another process."""
        return {name: self.rows[name] for name in self.rows.names()}

    def result(self, k: int = K) -> float:
        """Compute MAP@K of all pairs so far. Equal scores rank by the segment's number."""
        order = np.argsort(self.rows["number"], kind="stable")
        scores, classes, hits = (self.rows[name][order] for name in ("scores", "classes", "hits"))
        return mean_of_classes(average_precisions(scores, classes, hits, int(classes.max(initial=-1)) + 1, k))


def average_precisions(
    scores: Array,
    classes: Array,
    hits: Array,
    count: int,
    k: int | None = K,
    positives: Array | None = None,
    ties: Ties = "acz",
) -> Array:
    """Compute the average precision of each class: sum over its hits of (hits so far / rank) / min(positives, k).

    Args:
        scores: (pairs).
        classes: the class of each pair, int (pairs).
        hits: bool (pairs), true where the pair is rated right.
        count: the number of classes.
        k: the best pairs of a class that count. None: all count.
        positives: the number of positives of each class, (classes), those without a pair included. None: the hits.
        ties: the rank of equal scores: in the given order, or that of the official calculator.

    Returns:
        The average precisions, (classes); NaN for a class without positives, which has none.

    Source: google/youtube-8m, mean_average_precision_calculator.py.
    """
    by_class = np.argsort(classes, kind="stable")
    ends = np.cumsum(np.bincount(classes, minlength=count)) if len(classes) else np.zeros(count, np.int64)
    precisions = np.full(count, np.nan)
    for label in range(count):
        own = by_class[ends[label - 1] if label else 0 : ends[label]]
        total = int(hits[own].sum()) if positives is None else int(positives[label])
        if total == 0:
            continue
        pair = scores[own], hits[own]
        if ties == "youtube-8m":
            pair = heaped(*pair, most=k)
        precisions[label] = average_precision(*pair, positives=total, at=k, ties=ties)
    return precisions


def mean_of_classes(precisions: Array) -> float:
    """The mean over the classes that have positives; 0 where no class has any."""
    counted = precisions[~np.isnan(precisions)]
    return math.fsum(counted.tolist()) / max(len(counted), 1)


def merge_pairs(pairs: RatedPairs, part: Mapping[str, Array]) -> None:
    """Add the pairs of another process, which its `arrays` gave."""
    pairs.rows.extend({name: part[name] for name in pairs.rows.names()})
