"""Losses, in NumPy: what each backend computes natively, and the reference of it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError
from acz.model.layers.activation import log_softmax
from acz.model.spec import Output, Spec

TrainingLoss = Literal[
    "softmax_cross_entropy",
    "multilabel_softmax_cross_entropy",
    "sigmoid_cross_entropy",
    "probability_cross_entropy",
    "hinge",
]
Loss = TrainingLoss | Literal["projection"]

OF_OUTPUT: dict[str, Loss] = {
    "softmax": "softmax_cross_entropy",
    "log_softmax": "softmax_cross_entropy",
    "sigmoid": "sigmoid_cross_entropy",
    "probabilities": "probability_cross_entropy",
}
SEVERAL_LABELS: frozenset[str] = frozenset(
    ("multilabel_softmax_cross_entropy", "sigmoid_cross_entropy", "probability_cross_entropy", "hinge")
)
"""Losses that take labels (videos, classes) of zeros and ones; the others take one class a video."""

FITTING: dict[TrainingLoss, tuple[Output, ...]] = {
    "softmax_cross_entropy": ("none", "softmax", "log_softmax"),
    "multilabel_softmax_cross_entropy": ("none", "softmax", "log_softmax"),
    "sigmoid_cross_entropy": ("none", "sigmoid"),
    "probability_cross_entropy": ("sigmoid", "softmax", "probabilities"),
    "hinge": ("none", "sigmoid", "probabilities"),
}
"""Outputs of a model that each loss can train. The first three are computed from logits, the others from the output."""

EPSILON = 1e-5
"""Beside a probability in a logarithm, as the YouTube-8M starter code has it (there it is written 10e-6)."""


def default_loss(spec: Spec) -> Loss:
    """The loss that belongs to the model's output. Raises SpecError where none does."""
    if spec.output not in OF_OUTPUT:
        raise SpecError(f"model.output is '{spec.output}', which has no loss of its own; name one in train.loss")
    return OF_OUTPUT[spec.output]


def check_loss(loss: TrainingLoss, spec: Spec) -> None:
    """Raise SpecError where a loss can't be taken of the model's output."""
    if spec.output not in FITTING[loss]:
        fitting = [name for name, outputs in FITTING.items() if spec.output in outputs]
        raise SpecError(
            f"train.loss: {loss} needs model.output to be {' or '.join(FITTING[loss])}, got {spec.output}; "
            f"of that there {'is' if len(fitting) == 1 else 'are'} {', '.join(fitting)}"
        )


def reference_loss(loss: Loss, logits: Array, output: Array, labels: Array) -> Array:
    """One number, the mean over the batch. Labels (videos, classes) hold zeros and ones.

    `softmax_cross_entropy`: labels (videos) of class indices; -log softmax(logits)[label].
    `multilabel_softmax_cross_entropy`: labels (videos, classes); the same, averaged over the labels of a video; 0 for a video without one.
    `sigmoid_cross_entropy`: labels (videos, classes); summed over the classes (PaddlePaddle's form).
    `probability_cross_entropy`: labels (videos, classes); -y log(p + e) - (1 - y) log(1 - p + e) of output p, summed over the classes; e is
    EPSILON, so what is certain and right costs slightly less than nothing.
    `hinge`: labels (videos, classes); max(0, 1 - (2 y - 1) p) of output p, summed over the classes.
    `projection`: sum over everything of output * labels, no mean; for checks of gradients.

    Source of the second, fourth and fifth: google/youtube-8m, losses.py.
    """
    if loss == "softmax_cross_entropy":
        return -log_softmax(logits)[np.arange(len(labels)), labels].sum() / len(labels)
    labels = labels.astype(output.real.dtype)
    if loss == "multilabel_softmax_cross_entropy":
        shares = labels / np.maximum(labels.sum(axis=1, keepdims=True), 1)
        each = -shares * log_softmax(logits)  # (videos, classes)
    elif loss == "sigmoid_cross_entropy":
        # max(z, 0) - z y + log(1 + exp(-|z|)), which holds for any z
        size = np.where(logits.real > 0, logits, -logits)
        each = np.maximum(logits, 0) - logits * labels + np.log(1 + np.exp(-size))
    elif loss == "probability_cross_entropy":
        epsilon = output.real.dtype.type(EPSILON)
        each = -labels * np.log(output + epsilon) - (1 - labels) * np.log(1 - output + epsilon)
    elif loss == "hinge":
        each = np.maximum(1 - (2 * labels - 1) * output, 0)
    else:
        return (output * labels).sum()
    return each.sum() / len(labels)
