"""Accuracies of ranked classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acz.foundation.arrays import Array
from acz.reference.ranking import NOTHING


def mark_hits(classes: Array, labels: Array) -> Array:
    """Which of the predicted classes (videos, k) are labels of their video, bool (videos, k); NOTHING is none.

    labels (videos) of one class each, or (videos, classes), above 0 where a video has the label.
    """
    if labels.ndim == 1:
        one: Array = classes == labels[:, None]
        return one
    several: Array = np.take_along_axis(labels > 0, np.maximum(classes, 0), axis=1) & (classes != NOTHING)
    return several


@dataclass
class Accuracy:
    """Running top-1, top-5 and mean loss over batches of any size."""

    examples: int = 0
    top1: int = 0
    top5: int = 0
    total_loss: float | None = None

    def update(self, classes: Array, labels: Array, loss: float | None = None) -> None:
        """Add a batch: the best five classes of each video or more, (videos, k), best first; labels as `mark_hits` takes
        them, of which the best ranked counts; and the mean of the loss over these videos."""
        hits = mark_hits(classes[:, :5], labels)
        self.examples += len(hits)
        self.top1 += int(hits[:, :1].any(axis=1).sum())
        self.top5 += int(hits.any(axis=1).sum())
        if loss is not None:
            self.total_loss = (self.total_loss or 0.0) + loss * len(hits)

    def result(self) -> dict[str, float]:
        """Shares of the examples, 0 .. 1, and the mean loss, where there is one."""
        count = max(self.examples, 1)
        found = {"top1": self.top1 / count, "top5": self.top5 / count, "examples": float(self.examples)}
        return found if self.total_loss is None else found | {"loss": self.total_loss / count}
