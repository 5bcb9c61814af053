"""Distillation from a file of predictions: what a teacher gave takes part in the labels of every training video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.base import Data, Examples
from acz.evaluation.metrics import NOTHING
from acz.evaluation.prediction_reader import read_predictions
from acz.foundation.errors import DataError
from acz.model.losses import UNRATED
from acz.zoo.recipe import Distillation


class Teacher:
    """The predictions of a file for the videos of a training split.

    Both losses that it serves are linear in the labels y, so that (1 - w) loss(y) + w loss(teacher) is the loss of the labels
    (1 - w) y + w teacher. A class that the file does not list counts as 0. The loss of such a class, at the output p, is too
    large by w q (log(1 - p) - log(p)) where q is the score that was left out, and its logit's gradient by w q. No q of a
    video is above its least listed score, whose mean `least_listed` tells what was left out. A class that nobody rated
    stays without a rating.

    Args:
        settings: the file, and the weight w.
        split: the training split.
        classes: the number of classes.

    Raises:
        DataError: the file is damaged, has other videos than the split, or has labels or scores that a model can't give.
    """

    def __init__(self, settings: Distillation, split: Data, classes: int) -> None:
        self.settings, self.split, self.classes = settings, split, classes
        self.path = Path(settings.predictions)
        self.rows: dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}
        least = 0.0
        for part in read_predictions(self.path):
            listed = part.labels != NOTHING
            scores = np.where(listed, part.scores, 0.0)
            if part.labels.max(initial=-1) >= classes or scores.min(initial=0) < 0 or scores.max(initial=0) > 1:
                raise DataError(
                    f"{self.path}: a teacher needs labels below {classes} and scores of 0 .. 1; "
                    "make the file with a model of these classes that ends in probabilities"
                )
            for name, labels, own, known in zip(part.ids, part.labels, scores, listed, strict=True):
                self.rows[name] = labels[known].astype(np.int32), own[known].astype(np.float32)
                least += float(own[known].min(initial=1.0))
        if len(self.rows) != len(split):
            raise DataError(
                f"{self.path} has {len(self.rows):,} videos, and the training split has {len(split):,}; "
                "'acz infer TEACHER --split train --out FILE' makes the file of a teacher"
            )
        self.least_listed = least / len(split)
        """The mean over the videos of the least score that is listed."""

    def mix(self, examples: Examples) -> Examples:
        """The examples with labels that are part the teacher's, float32 (videos, classes).

        Raises:
            DataError: the file has not one of the videos.
        """
        labels = (1 - self.settings.weight) * examples.labels.astype(np.float32)
        unrated = examples.labels < 0
        names = examples.ids or self.split.ids(examples.numbers)
        for row, name in enumerate(names):
            if name not in self.rows:
                raise DataError(f"{self.path} has no predictions for the training video {name!r}")
            classes, scores = self.rows[name]
            labels[row, classes] += self.settings.weight * scores
        return replace(examples, labels=np.where(unrated, UNRATED, labels).astype(np.float32))

    def mix_all(self, made: Iterable[tuple[Examples, dict[str, Any]]]) -> Iterator[tuple[Examples, dict[str, Any]]]:
        """The examples of steps with mixed labels, and their masks."""
        for examples, masks in made:
            yield self.mix(examples), masks

    def __str__(self) -> str:
        return (
            f"learns from {self.path} with the weight {self.settings.weight:g}; a class that it does not list counts as 0, "
            f"and the least score that it lists of a video is {self.least_listed:.2g} in the mean"
        )
