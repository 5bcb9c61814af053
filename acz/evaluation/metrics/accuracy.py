"""Accuracies of ranked classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acz.foundation.arrays import Array
from acz.reference.ranking import NOTHING


def mark_hits(classes: Array, labels: Array) -> Array:
    """Mark the predicted classes that are labels of their video.

    Args:
        classes: the predicted classes, (videos, k). NOTHING stands for no class and is never a label.
        labels: the class of each video, (videos); or (videos, classes), above 0 where a video has the label.

    Returns:
        bool (videos, k).
    """
    if labels.ndim == 1:
        hits: Array = classes == labels[:, None]
    else:
        hits = np.take_along_axis(labels > 0, np.maximum(classes, 0), axis=1) & (classes != NOTHING)
    return hits


@dataclass
class Accuracy:
    """Running top-1, top-5 and mean loss over batches of any size."""

    examples: int = 0
    top1: int = 0
    top5: int = 0
    total_loss: float | None = None

    def update(self, classes: Array, labels: Array, loss: float | None = None) -> None:
        """Add a batch.

        Args:
            classes: the best classes of each video, (videos, k), best first. k is 5 or more.
            labels: the labels, as `mark_hits` takes them. The best ranked label of a video counts.
            loss: the mean loss of these videos.
        """
        hits = mark_hits(classes[:, :5], labels)
        self.examples += len(hits)
        self.top1 += int(hits[:, :1].any(axis=1).sum())
        self.top5 += int(hits.any(axis=1).sum())
        if loss is not None:
            self.total_loss = (self.total_loss or 0.0) + loss * len(hits)

    def add(self, other: Accuracy) -> None:
        """Add the counts of other batches."""
        self.examples += other.examples
        self.top1 += other.top1
        self.top5 += other.top5
        if other.total_loss is not None:
            self.total_loss = (self.total_loss or 0.0) + other.total_loss

    def result(self) -> dict[str, float]:
        """Give `top1` and `top5`, 0 .. 1, the number of `examples`, and the mean `loss` where there is one."""
        count = max(self.examples, 1)
        figures = {"top1": self.top1 / count, "top5": self.top5 / count, "examples": float(self.examples)}
        return figures if self.total_loss is None else figures | {"loss": self.total_loss / count}
