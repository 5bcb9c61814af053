"""The metrics of YouTube-8M, streamed: Hit@1, PERR, mAP and GAP over the best classes of each video.

Source: Abu-El-Haija et al. 2016, YouTube-8M, section 5; the starter code's eval_util.EvaluationMetrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from acz.evaluation.metrics.accuracy import mark_hits
from acz.evaluation.metrics.columns import Columns
from acz.evaluation.metrics.labels import present_labels
from acz.evaluation.metrics.precision import Ties, average_precision, descending, heaped
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from acz.reference.ranking import NOTHING, ROWS, best_first, refuse_nan, top_classes

Labels = Array | Sequence[Sequence[int]]
"""(videos, classes), above 0 where a video has the label; (videos) of one class each; or a list of classes for each video."""


class YouTube8MMetrics:
    """Running metrics over videos with any number of labels.

    - Hit@1: how many videos have their best class among their labels. Of all videos, also those without labels.
    - PERR, precision at equal recall rate: a video with n labels contributes the share of them among its n best classes, of
      which only those with a score above 0 count; a video without labels contributes 0.
    - GAP: the average precision of all videos' `top_k` best predictions in one ranking. The positives are all labels, also
      those outside the best.
    - mAP: the mean over all classes of the average precision of those predictions that are of this class; 0 for a class
      without labels.

    Equal scores rank by the smaller class, then by the video's number. `ties="youtube-8m"` ranks what was selected as the official
    calculator does, whose order depends on the batches.

    Kept are `top_k` scores, classes and hits of each video, its number and its loss; everything else is counted in integers,
    and every sum of fractions is rounded once. So the result is the same to the last bit however the videos are dealt
    into batches and processes, in whatever order those are merged, if each video has its number.
    """

    def __init__(self, classes: int, top_k: int = 20, ties: Ties = "acz") -> None:
        if classes < 1 or top_k < 1:
            raise SpecError(f"classes and top_k must be at least 1, got {classes} and {top_k}")
        if ties not in ("acz", "youtube-8m"):
            raise SpecError(f"ties must be 'acz' or 'youtube-8m', got '{ties}'")
        self.classes, self.top_k, self.ties = classes, top_k, ties
        self.hits_at_1 = 0
        self.positives = np.zeros(classes, np.int64)
        """Labels of each class."""
        self.found = np.zeros(classes + 1, np.int64)
        """At n: how many of their labels the videos with n labels have among their n best classes."""
        width = min(top_k, classes)
        self.rows = Columns(
            {
                "scores": np.empty((0, width), np.float32),
                "classes": np.empty((0, width), np.int16 if classes < 2**15 else np.int32),
                "hits": np.empty((0, width), np.bool_),
                "number": np.empty(0, np.int64),
                "batch": np.empty(0, np.int64),  # the number of the batch's first video
                "loss": np.empty(0, np.float64),  # NaN where none was given
            }
        )
        self.numbered = False
        """Whether numbers came with the videos."""

    def __len__(self) -> int:
        """Videos so far."""
        return len(self.rows)

    def update(self, scores: Array, labels: Labels, numbers: Array | None = None, loss: Array | None = None) -> None:
        """Add videos: scores (videos, classes); `numbers` (videos), by default on from those so far; `loss` (videos).

        Raises DataError, and counts none of them, where a score is NaN or a label is none of the classes.
        """
        scores = _floats(scores)
        if scores.ndim != 2 or scores.shape[1] != self.classes:
            raise DataError(f"scores must be (videos, {self.classes}), got {scores.shape}")
        where = self._places(len(scores), numbers, loss)
        present = present_labels(labels, len(scores), self.classes, where["number"])

        def best(rows: slice, most: int) -> tuple[Array, Array]:
            return top_classes(scores[rows], min(self.classes, max(self.top_k, most)), where["number"][rows])

        self._add(len(scores), best, present, where)

    def update_top(
        self,
        scores: Array,
        classes: Array,
        labels: Labels,
        numbers: Array | None = None,
        loss: Array | None = None,
    ) -> None:
        """Add videos of which the best classes are known: scores and classes (videos, k) in any order, -1 for no class.

        What is not given counts as ranked after all that is, with the score 0. With k at least `top_k` and at least the
        labels of each video this equals `update`; with fewer than a video's labels, PERR counts those that are given.
        Raises DataError as `update` does, and where a video has a class twice.
        """
        scores, classes = _floats(scores), np.asarray(classes)
        if scores.ndim != 2 or scores.shape != classes.shape or classes.dtype.kind not in "iu":
            what = f"{scores.shape} and {classes.dtype} {classes.shape}"
            raise DataError(f"scores and classes must be (videos, k) and integers (videos, k), got {what}")
        where = self._places(len(scores), numbers, loss)
        classes = classes.astype(np.int64)
        given = classes != NOTHING
        refuse_nan(np.where(given, scores, 0), where["number"])
        ascending = np.sort(classes, axis=1)
        bad = (classes < NOTHING) | (classes >= self.classes)
        bad[:, 1:] |= (ascending[:, 1:] == ascending[:, :-1]) & (ascending[:, 1:] != NOTHING)
        if bad.any():
            number = where["number"][int(bad.any(axis=1).argmax())]
            raise DataError(f"video {number}: its classes must be different ones of 0 .. {self.classes - 1}")
        present = present_labels(labels, len(scores), self.classes, where["number"])
        scores, classes = best_first(scores, classes)
        missing = max(self.rows["scores"].shape[1] - scores.shape[1], 0)
        scores = np.pad(scores, ((0, 0), (0, missing)))
        classes = np.pad(classes, ((0, 0), (0, missing)), constant_values=NOTHING)
        self._add(len(scores), lambda rows, most: (classes[rows], scores[rows]), present, where)

    def _places(self, videos: int, numbers: Array | None, loss: Array | None) -> dict[str, Array]:
        """The columns `number`, `batch` and `loss` of new videos. Raises DataError."""
        if numbers is None:
            numbers = np.arange(videos) + self._next()
        else:
            self.numbered = True
        numbers = np.asarray(numbers)
        losses = np.full(videos, np.nan) if loss is None else np.asarray(loss, np.float64)
        if numbers.shape != (videos,) or numbers.dtype.kind not in "iu" or losses.shape != (videos,):
            raise DataError(f"numbers and loss must be integers ({videos}) and ({videos}), a number a video")
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
        where: Mapping[str, Array],
    ) -> None:
        """Add videos, all or none, some at a time: `best` gives classes and scores of a slice of them, best first, and is told
        how many labels one of them has at most; `present` gives their labels, (videos, classes) of bool."""
        width = self.rows["scores"].shape[1]
        parts = []
        positives, found, hits_at_1 = np.zeros_like(self.positives), np.zeros_like(self.found), 0
        for start in range(0, videos, ROWS):
            rows = slice(start, start + ROWS)
            here = present(rows)
            video, label = np.divmod(np.flatnonzero(here), self.classes)
            labels = np.bincount(video, minlength=len(here))  # (videos), how many each has
            classes, scores = best(rows, int(labels.max(initial=0)))
            hits = mark_hits(classes, here)
            recalled = (hits & (scores > 0) & (np.arange(classes.shape[1]) < labels[:, None])).sum(axis=1)
            np.add.at(found, labels, recalled)
            positives += np.bincount(label, minlength=self.classes)
            hits_at_1 += int(hits[:, 0].sum())
            parts.append((scores[:, :width], classes[:, :width], hits[:, :width]))
        if parts:
            scores, classes, hits = (np.concatenate(part) for part in zip(*parts, strict=True))
            kept = {"scores": scores, "classes": classes.astype(self.rows["classes"].dtype), "hits": hits}
            self.rows.extend({**kept, **where})
        self.positives += positives
        self.found += found
        self.hits_at_1 += hits_at_1

    def merge(self, other: YouTube8MMetrics) -> None:
        """Add what another one counted, which stays as it is.

        Videos that it numbered by itself follow those that are here; give numbers to `update` where the order of merging varies.
        """
        if (other.classes, other.top_k, other.ties) != (self.classes, self.top_k, self.ties):
            raise SpecError(
                f"metrics of {other.classes} classes, top {other.top_k}, ties '{other.ties}' can't be merged with "
                f"{self.classes} classes, top {self.top_k}, ties '{self.ties}'"
            )
        rows = {name: other.rows[name] for name in other.rows.names()}
        if not other.numbered:
            following = self._next()
            rows |= {"number": rows["number"] + following, "batch": rows["batch"] + following}
        self.numbered |= other.numbered
        self.hits_at_1 += other.hits_at_1
        self.positives += other.positives
        self.found += other.found
        self.rows.extend(rows)

    def arrays(self) -> dict[str, Array]:
        """All that was counted, as arrays by name, for another process; `of_arrays` makes the same metrics of them."""
        counted = {"positives": self.positives, "found": self.found}
        numbers = {"hits_at_1": np.asarray(self.hits_at_1), "numbered": np.asarray(self.numbered)}
        return {name: self.rows[name] for name in self.rows.names()} | counted | numbers

    @classmethod
    def of_arrays(
        cls, arrays: Mapping[str, Array], classes: int, top_k: int = 20, ties: Ties = "acz"
    ) -> YouTube8MMetrics:
        """What gave these `arrays`, of the same classes, top_k and ties."""
        made = cls(classes, top_k, ties)
        made.rows.extend({name: arrays[name] for name in made.rows.names()})
        made.positives, made.found = arrays["positives"], arrays["found"]
        made.hits_at_1, made.numbered = int(arrays["hits_at_1"]), bool(arrays["numbered"])
        return made

    def result(self) -> dict[str, Any]:
        """`hit_at_1`, `perr`, `map`, `gap`, each 0 .. 1; `average_precision` (classes); `loss`, the mean, where it was given.

        Raises DataError where there are no videos, a video was counted twice, or only some have a loss.
        """
        videos = len(self)
        if videos == 0:
            raise DataError("there are no videos to compute metrics of")
        order = np.argsort(self.rows["number"], kind="stable")
        numbers = self.rows["number"][order]
        if (numbers[1:] == numbers[:-1]).any():
            raise DataError(f"video {numbers[int((numbers[1:] == numbers[:-1]).argmax())]} was counted twice")
        scores, classes, hits = (self.rows[name][order] for name in ("scores", "classes", "hits"))
        given = classes != NOTHING
        flat = scores[given], classes[given], hits[given]
        if self.ties == "acz":
            gap, by_class = self._precisions(*flat)
        else:
            batches = np.broadcast_to(self.rows["batch"][order][:, None], given.shape)[given]
            gap, by_class = self._official_precisions(*flat, batches)
        labels = np.arange(1, self.classes + 1)
        figures: dict[str, Any] = {
            "hit_at_1": self.hits_at_1 / videos,
            "perr": math.fsum((self.found[1:] / labels).tolist()) / videos,
            "map": math.fsum(by_class.tolist()) / self.classes,
            "gap": gap,
            "average_precision": by_class,
        }
        losses = self.rows["loss"]
        if not np.isnan(losses).all():
            if np.isnan(losses).any():
                raise DataError(f"{int(np.isnan(losses).sum()):,} of {videos:,} videos have no loss")
            figures["loss"] = math.fsum(losses.tolist()) / videos
        return figures

    def _precisions(self, scores: Array, classes: Array, hits: Array) -> tuple[float, Array]:
        """GAP and the average precision of each class, (classes), of predictions in the order of their videos' numbers."""
        by_class = np.argsort(classes, kind="stable")  # by class, then number
        ranking = by_class[descending(scores[by_class])]  # by score, then class, then number
        ranks = np.flatnonzero(hits[ranking]) + 1
        precisions = np.arange(1, len(ranks) + 1) / ranks
        gap = math.fsum(precisions.tolist()) / max(int(self.positives.sum()), 1)

        ranking = ranking[np.argsort(classes[ranking], kind="stable")]  # by class, then score, then number
        places = np.flatnonzero(hits[ranking])
        of_class = classes[ranking[places]]
        ends = np.cumsum(np.bincount(classes, minlength=self.classes))  # where the predictions of each class end
        hit_ends = np.cumsum(np.bincount(of_class, minlength=self.classes))
        starts, hit_starts = np.r_[0, ends[:-1]], np.r_[0, hit_ends[:-1]]
        precisions = (np.arange(1, len(places) + 1) - hit_starts[of_class]) / (places + 1 - starts[of_class])
        each = precisions.tolist()
        found = np.zeros(self.classes)
        for label in np.unique(of_class):
            found[label] = math.fsum(each[hit_starts[label] : hit_ends[label]]) / int(self.positives[label])
        return gap, found

    def _official_precisions(self, scores: Array, classes: Array, hits: Array, batches: Array) -> tuple[float, Array]:
        """The same by the official calculator, which is pushed the predictions batch by batch, in a batch class by class."""
        pushed = np.lexsort((classes, batches))
        scores, classes, hits = scores[pushed], classes[pushed], hits[pushed]
        gap = average_precision(*heaped(scores, hits), positives=int(self.positives.sum()), ties=self.ties)
        ends = np.cumsum(np.bincount(classes, minlength=self.classes))
        by_class = np.argsort(classes, kind="stable")
        found = np.zeros(self.classes)
        for label, (end, positives) in enumerate(zip(ends.tolist(), self.positives.tolist(), strict=True)):
            own = by_class[ends[label - 1] if label else 0 : end]
            found[label] = average_precision(*heaped(scores[own], hits[own]), positives=positives, ties=self.ties)
        return gap, found


def _floats(scores: Array) -> Array:
    """Scores as float32 or float64. Raises DataError where they are no numbers."""
    scores = np.asarray(scores)
    if scores.dtype.kind not in "fiub":
        raise DataError(f"scores must be numbers, got {scores.dtype}")
    exact = scores.dtype.kind in "iu" or scores.dtype.itemsize > 4
    return scores.astype(np.float64 if exact else np.float32, copy=False)
