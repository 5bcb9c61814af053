"""The metrics of YouTube-8M, batch by batch: Hit@1, PERR, mAP and GAP over the best classes of each video.

Source: Abu-El-Haija et al. 2016, YouTube-8M, section 5; the starter code's eval_util.EvaluationMetrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from acz.evaluation.metrics.accuracy import mark_hits
from acz.evaluation.metrics.columns import Columns
from acz.evaluation.metrics.labels import as_floats, present_labels
from acz.evaluation.metrics.precision import Ties, compute_official_precisions, compute_precisions
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from acz.reference.ranking import NOTHING, ROWS, best_first, refuse_nan, top_classes

Labels = Array | Sequence[Sequence[int]]
"""Labels of videos, in one of three forms.

- an array (videos, classes), above 0 where a video has the label;
- an int array (videos), the class of each video;
- a list of classes for each video.

A tensor counts as an array, and so do lists of zeros and ones that are as wide as there are classes.
"""


class YouTube8MMetrics:
    """Running metrics over videos with any number of labels.

    - Hit@1: the share of the videos whose best class is one of their labels. Videos without labels count.
    - PERR, precision at equal recall rate: a video with n labels contributes the share of its labels among its n best
      classes. Only classes with a score above 0 count. A video without labels contributes 0.
    - GAP: the average precision of the `top_k` best predictions of all videos in one ranking. The positives are all
      labels, also those outside the best predictions.
    - mAP: the mean over all classes of the average precision of the class's predictions. A class without labels has 0.

    Equal scores rank by the smaller class, then by the video's number. `ties="youtube-8m"` ranks the selected
    predictions as the official calculator does. Its order depends on the batches. Its mAP is the mean over the classes
    with labels: the official calculator has left out the others since 31 May 2019.

    If each video has its number, batches, processes and the order of merging do not change one bit of the result. For
    that the object keeps `top_k` scores, classes and hits of each video, its number and its loss. Everything else is
    counted in integers, and every sum of fractions is rounded once.

    Args:
        classes: the number of classes.
        top_k: the number of predictions of each video that GAP and mAP count.
        ties: the rank of equal scores.

    Raises:
        SpecError: an argument is out of range.
    """

    def __init__(self, classes: int, top_k: int = 20, ties: Ties = "acz") -> None:
        if classes < 1 or top_k < 1:
            raise SpecError(f"classes and top_k must be at least 1, got {classes} and {top_k}")
        if ties not in ("acz", "youtube-8m"):
            raise SpecError(f"ties must be 'acz' or 'youtube-8m', got '{ties}'")
        self.classes, self.top_k, self.ties = classes, top_k, ties
        self.hits_at_1 = 0
        self.positives = np.zeros(classes, np.int64)
        """The number of labels of each class, (classes)."""
        self.recalled = np.zeros(classes + 1, np.int64)
        """At n: the number of labels that the videos with n labels have among their n best classes."""
        width = min(top_k, classes)
        self.rows = Columns(
            {
                "scores": np.empty((0, width), np.float32),
                "classes": np.empty((0, width), np.int16 if classes < 2**15 else np.int32),
                "hits": np.empty((0, width), np.bool_),
                "number": np.empty(0, np.int64),
                "batch": np.empty(0, np.int64),  # the number of the batch's first video
                "loss": np.empty(0, np.float64),  # NaN for a video without a loss
            }
        )
        self.numbered = False
        """True where the caller numbers the videos."""

    def __len__(self) -> int:
        """The number of videos so far."""
        return len(self.rows)

    def update(self, scores: Array, labels: Labels, numbers: Array | None = None, loss: Array | None = None) -> None:
        """Add videos with the scores of all classes.

        Args:
            scores: (videos, classes).
            labels: the labels of the videos.
            numbers: the number of each video, int (videos). None: the numbers after those so far.
            loss: the loss of each video, (videos).

        Raises:
            DataError: a score is NaN, or a label is not a class. Then none of these videos is counted.
        """
        scores = as_floats(scores)
        if scores.ndim != 2 or scores.shape[1] != self.classes:
            raise DataError(f"scores must be (videos, {self.classes}), got {scores.shape}")
        columns = self._columns(len(scores), numbers, loss)
        present = present_labels(labels, len(scores), self.classes, columns["number"])

        def best(rows: slice, most: int) -> tuple[Array, Array]:
            return top_classes(scores[rows], min(self.classes, max(self.top_k, most)), columns["number"][rows])

        self._add(len(scores), best, present, columns)

    def update_top(
        self,
        scores: Array,
        classes: Array,
        labels: Labels,
        numbers: Array | None = None,
        loss: Array | None = None,
    ) -> None:
        """Add videos with the scores of their best classes.

        The other classes rank after these, with the score 0. The result is that of `update` where k is at least `top_k`
        and at least the number of labels of each video. Where a video has more labels than k, PERR counts k classes.

        Args:
            scores: (videos, k), in any order.
            classes: the class of each score, int (videos, k); -1 for no class.
            labels: the labels of the videos.
            numbers: the number of each video, int (videos). None: the numbers after those so far.
            loss: the loss of each video, (videos).

        Raises:
            DataError: a score is NaN, a label is not a class, or a video has a class twice. Then none of these videos
                is counted.
        """
        scores, classes = as_floats(scores), np.asarray(classes)
        if scores.ndim != 2 or scores.shape != classes.shape or classes.dtype.kind not in "iu":
            shapes = f"{scores.shape} and {classes.dtype} {classes.shape}"
            raise DataError(f"scores and classes must be (videos, k) and integers (videos, k), got {shapes}")
        columns = self._columns(len(scores), numbers, loss)
        classes = classes.astype(np.int64)
        refuse_nan(np.where(classes != NOTHING, scores, 0), columns["number"])
        ascending = np.sort(classes, axis=1)
        bad = (classes < NOTHING) | (classes >= self.classes)
        bad[:, 1:] |= (ascending[:, 1:] == ascending[:, :-1]) & (ascending[:, 1:] != NOTHING)
        if bad.any():
            number = columns["number"][int(bad.any(axis=1).argmax())]
            raise DataError(f"video {number}: its classes must be different classes of 0 .. {self.classes - 1}")
        present = present_labels(labels, len(scores), self.classes, columns["number"])
        scores, classes = best_first(scores, classes)
        missing = max(self.rows["scores"].shape[1] - scores.shape[1], 0)
        scores = np.pad(scores, ((0, 0), (0, missing)))
        classes = np.pad(classes, ((0, 0), (0, missing)), constant_values=NOTHING)
        self._add(len(scores), lambda rows, most: (classes[rows], scores[rows]), present, columns)

    def _columns(self, videos: int, numbers: Array | None, loss: Array | None) -> dict[str, Array]:
        """Make the columns `number`, `batch` and `loss` of new videos. Raises DataError."""
        if numbers is None:
            numbers = np.arange(videos) + self._next()
        else:
            self.numbered = True
        numbers = np.asarray(numbers)
        losses = np.full(videos, np.nan) if loss is None else np.asarray(loss, np.float64)
        if numbers.shape != (videos,) or numbers.dtype.kind not in "iu" or losses.shape != (videos,):
            raise DataError(
                f"numbers must be integers ({videos}), and loss must be numbers ({videos}): one for each video"
            )
        if loss is not None and np.isnan(losses).any():
            raise DataError(f"the loss of video {numbers[int(np.isnan(losses).argmax())]} is NaN")
        return {
            "number": numbers.astype(np.int64),
            "batch": np.full(videos, numbers.min(initial=np.iinfo(np.int64).max)),
            "loss": losses,
        }

    def _next(self) -> int:
        return int(self.rows["number"].max(initial=-1)) + 1

    def _add(
        self,
        videos: int,
        best: Callable[[slice, int], tuple[Array, Array]],
        present: Callable[[slice], Array],
        columns: Mapping[str, Array],
    ) -> None:
        """Add all videos or none of them, ROWS at a time.

        Args:
            videos: the number of videos.
            best: gives classes and scores of a slice of the videos, best first. It is told the most labels of one of
                them.
            present: gives the labels of a slice of the videos, bool (videos, classes).
            columns: the columns `number`, `batch` and `loss`.
        """
        width = self.rows["scores"].shape[1]
        parts = []
        positives, recalled, hits_at_1 = np.zeros_like(self.positives), np.zeros_like(self.recalled), 0
        for start in range(0, videos, ROWS):
            rows = slice(start, start + ROWS)
            labels = present(rows)
            video, label = np.divmod(np.flatnonzero(labels), self.classes)
            counts = np.bincount(video, minlength=len(labels))  # (videos), the number of labels of each
            classes, scores = best(rows, int(counts.max(initial=0)))
            hits = mark_hits(classes, labels)
            in_reach = np.arange(classes.shape[1]) < counts[:, None]  # the n best classes of a video with n labels
            np.add.at(recalled, counts, (hits & (scores > 0) & in_reach).sum(axis=1))
            positives += np.bincount(label, minlength=self.classes)
            hits_at_1 += int(hits[:, 0].sum())
            parts.append((scores[:, :width], classes[:, :width], hits[:, :width]))
        if parts:
            scores, classes, hits = (np.concatenate(part) for part in zip(*parts, strict=True))
            best_columns = {"scores": scores, "classes": classes.astype(self.rows["classes"].dtype), "hits": hits}
            self.rows.extend({**best_columns, **columns})
        self.positives += positives
        self.recalled += recalled
        self.hits_at_1 += hits_at_1

    def merge(self, other: YouTube8MMetrics) -> None:
        """Add the videos of another object. `other` does not change.

        Videos without numbers of the caller get the numbers after those so far. Give numbers to `update` where the
        order of merging varies.

        Raises:
            SpecError: `other` has other classes, `top_k` or ties.
        """
        if (other.classes, other.top_k, other.ties) != (self.classes, self.top_k, self.ties):
            raise SpecError(
                f"metrics of {other.classes} classes, top {other.top_k}, ties '{other.ties}' can't be merged with "
                f"{self.classes} classes, top {self.top_k}, ties '{self.ties}'"
            )
        rows = {name: other.rows[name] for name in other.rows.names()}
        if not other.numbered:
            first = self._next()
            rows |= {"number": rows["number"] + first, "batch": rows["batch"] + first}
        self.numbered |= other.numbered
        self.hits_at_1 += other.hits_at_1
        self.positives += other.positives
        self.recalled += other.recalled
        self.rows.extend(rows)

    def arrays(self) -> dict[str, Array]:
        """Give all counts as arrays by name, for another process. `of_arrays` makes equal metrics from them."""
        counted = {"positives": self.positives, "recalled": self.recalled}
        numbers = {"hits_at_1": np.asarray(self.hits_at_1), "numbered": np.asarray(self.numbered)}
        return {name: self.rows[name] for name in self.rows.names()} | counted | numbers

    @classmethod
    def of_arrays(
        cls, arrays: Mapping[str, Array], classes: int, top_k: int = 20, ties: Ties = "acz"
    ) -> YouTube8MMetrics:
        """Make the metrics whose `arrays()` these are. `classes`, `top_k` and `ties` must be theirs."""
        metrics = cls(classes, top_k, ties)
        metrics.rows.extend({name: arrays[name] for name in metrics.rows.names()})
        metrics.positives, metrics.recalled = arrays["positives"], arrays["recalled"]
        metrics.hits_at_1, metrics.numbered = int(arrays["hits_at_1"]), bool(arrays["numbered"])
        return metrics

    def result(self) -> dict[str, Any]:
        """Compute the figures of all videos so far.

        Returns:
            `hit_at_1`, `perr`, `map` and `gap`, each 0 .. 1; `average_precision` (classes); and the mean `loss`, where
            the videos have a loss. `map_all_classes` and `map_labelled_classes` are both definitions of mAP: the mean
            over all classes, and over those with labels. `map` is the first, and with `ties="youtube-8m"` the second.

        Raises:
            DataError: there are no videos, a video was counted twice, or only a part of the videos has a loss.
        """
        videos = len(self)
        if videos == 0:
            raise DataError("there are no videos to compute metrics of")
        order = np.argsort(self.rows["number"], kind="stable")
        numbers = self.rows["number"][order]
        if (numbers[1:] == numbers[:-1]).any():
            raise DataError(f"video {numbers[int((numbers[1:] == numbers[:-1]).argmax())]} was counted twice")
        scores, classes, hits = (self.rows[name][order] for name in ("scores", "classes", "hits"))
        listed = classes != NOTHING
        flat = scores[listed], classes[listed], hits[listed]
        if self.ties == "acz":
            gap, by_class = compute_precisions(*flat, self.positives)
        else:
            batches = np.broadcast_to(self.rows["batch"][order][:, None], listed.shape)[listed]
            gap, by_class = compute_official_precisions(*flat, batches, self.positives)
        total = math.fsum(by_class.tolist())
        all_classes, labelled_classes = total / self.classes, total / max(int(np.count_nonzero(self.positives)), 1)
        labels = np.arange(1, self.classes + 1)
        figures: dict[str, Any] = {
            "hit_at_1": self.hits_at_1 / videos,
            "perr": math.fsum((self.recalled[1:] / labels).tolist()) / videos,
            "map": all_classes if self.ties == "acz" else labelled_classes,
            "map_all_classes": all_classes,
            "map_labelled_classes": labelled_classes,
            "gap": gap,
            "average_precision": by_class,
        }
        losses = self.rows["loss"]
        if not np.isnan(losses).all():
            if np.isnan(losses).any():
                raise DataError(f"{int(np.isnan(losses).sum()):,} of {videos:,} videos have no loss")
            figures["loss"] = math.fsum(losses.tolist()) / videos
        return figures
