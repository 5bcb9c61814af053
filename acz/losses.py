"""Losses, in NumPy: what each backend computes natively, and the reference of it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from acz.errors import SpecError
from acz.layers import Array
from acz.layers.activation import log_softmax
from acz.spec import Spec

Loss = Literal["softmax_cross_entropy", "sigmoid_cross_entropy", "projection"]

OF_OUTPUT: dict[str, Loss] = {
    "softmax": "softmax_cross_entropy",
    "log_softmax": "softmax_cross_entropy",
    "sigmoid": "sigmoid_cross_entropy",
}


def default_loss(spec: Spec) -> Loss:
    """The loss that belongs to the model's output. Raises SpecError where none does."""
    if spec.output not in OF_OUTPUT:
        raise SpecError(f"model.output is '{spec.output}', which has no loss of its own; name one in train.loss")
    return OF_OUTPUT[spec.output]


def reference_loss(loss: Loss, logits: Array, output: Array, labels: Array) -> Array:
    """One number, the mean over the batch.

    `softmax_cross_entropy`: labels (videos) of class indices; -log softmax(logits)[label].
    `sigmoid_cross_entropy`: labels (videos, classes) of zeros and ones; summed over the classes (PaddlePaddle's form).
    `projection`: sum over everything of output * labels, no mean; for checks of gradients.
    """
    if loss == "softmax_cross_entropy":
        return -log_softmax(logits)[np.arange(len(labels)), labels].sum() / len(labels)
    if loss == "sigmoid_cross_entropy":
        labels = labels.astype(logits.real.dtype)
        # max(z, 0) - z y + log(1 + exp(-|z|)), which holds for any z
        size = np.where(logits.real > 0, logits, -logits)
        each = np.maximum(logits, 0) - logits * labels + np.log(1 + np.exp(-size))
        return each.sum() / len(labels)
    return (output * labels).sum()
