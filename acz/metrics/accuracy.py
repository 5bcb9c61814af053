"""Accuracies of ranked classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acz.layers import Array
from acz.losses import Loss, reference_loss

NEVER = 2**31
"""The rank of a label that is not there."""


def rank_of_label(scores: Array, labels: Array) -> Array:
    """How many classes rank before the label, (videos); of equal scores the smaller class ranks first.

    scores (videos, classes); labels (videos), or (videos, classes) of zeros and ones: then the best-ranked label counts.
    A video without a label gets NEVER.
    """
    classes = np.arange(scores.shape[1])
    if labels.ndim == 2:
        is_label = labels > 0
        best = np.where(is_label, scores, -np.inf).argmax(axis=1)
        rank = rank_of_label(scores, best)
        return np.where(is_label.any(axis=1), rank, NEVER)
    own = scores[np.arange(len(labels)), labels][:, None]
    before = (scores > own) | ((scores == own) & (classes < labels[:, None]))
    counted: Array = before.sum(axis=1)
    return counted


@dataclass
class Accuracy:
    """Running top-1, top-5 and mean loss over batches of any size."""

    loss: Loss | None
    examples: int = 0
    top1: int = 0
    top5: int = 0
    total_loss: float = 0.0

    def update(self, logits: Array, labels: Array, output: Array | None = None) -> None:
        """Add a batch: logits (videos, classes), labels as `rank_of_label` takes them, and the output that some losses are of."""
        rank = rank_of_label(logits, labels)
        self.examples += len(rank)
        self.top1 += int((rank < 1).sum())
        self.top5 += int((rank < 5).sum())
        if self.loss is not None:
            exact = logits.astype(np.float64)
            given = exact if output is None else output.astype(np.float64)
            self.total_loss += float(reference_loss(self.loss, exact, given, labels)) * len(rank)

    def result(self) -> dict[str, float]:
        """Shares of the examples, 0 .. 1, and the mean loss."""
        count = max(self.examples, 1)
        found = {"top1": self.top1 / count, "top5": self.top5 / count, "examples": float(self.examples)}
        return found | ({"loss": self.total_loss / count} if self.loss is not None else {})
