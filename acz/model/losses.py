"""Losses: a table of objects, each with its definition in NumPy. An adapter computes the same natively.

Labels are of three kinds. `class`: int (videos), one class of each video. `classes`: (videos, classes) of zeros and ones.
`scores`: (videos, classes) of any numbers, for checks alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError, nearest
from acz.model.layers.activation import log_softmax
from acz.model.spec import Output, Spec

Labels = Literal["class", "classes", "scores"]

EPSILON = 1e-5
"""Beside a probability in a logarithm, as the YouTube-8M starter code has it (there it is written 10e-6)."""


@dataclass(frozen=True)
class Loss:
    """A loss.

    `reference(logits, output, labels)` takes logits and output (videos, classes) and gives one number, the mean over the videos.
    """

    name: str
    """The name in `train.loss`, at the seam, and in an adapter's own table."""
    labels: Labels
    outputs: tuple[Output, ...]
    """Outputs of a model that the loss can train."""
    default_for: tuple[Output, ...]
    """Outputs of a model whose loss this is when a recipe names none."""
    reference: Callable[[Array, Array, Array], Array]
    checks_only: bool = False
    """True for a loss that no recipe may name."""

    @property
    def several_labels(self) -> bool:
        """True where a video may have any number of labels."""
        return self.labels == "classes"


def _softmax_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """-log softmax(logits)[label]."""
    return -log_softmax(logits)[np.arange(len(labels)), labels].sum() / len(labels)


def _multilabel_softmax_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """-log softmax(logits), averaged over the labels of a video; 0 for a video without labels.

    Source: google/youtube-8m, losses.py, SoftmaxLoss.
    """
    labels = labels.astype(output.real.dtype)
    shares = labels / np.maximum(labels.sum(axis=1, keepdims=True), 1)
    return (-shares * log_softmax(logits)).sum() / len(labels)  # (videos, classes) to ()


def _sigmoid_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """max(z, 0) - z y + log(1 + exp(-|z|)), summed over the classes; it holds for any z. Source: PaddlePaddle's form."""
    labels = labels.astype(output.real.dtype)
    size = np.where(logits.real > 0, logits, -logits)
    return (np.maximum(logits, 0) - logits * labels + np.log(1 + np.exp(-size))).sum() / len(labels)


def _probability_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """-y log(p + e) - (1 - y) log(1 - p + e) of output p, summed over the classes, e = EPSILON.

    A certain and right answer costs slightly less than nothing. Source: google/youtube-8m, losses.py, CrossEntropyLoss.
    """
    labels = labels.astype(output.real.dtype)
    epsilon = output.real.dtype.type(EPSILON)
    each = -labels * np.log(output + epsilon) - (1 - labels) * np.log(1 - output + epsilon)
    return each.sum() / len(labels)


def _hinge(logits: Array, output: Array, labels: Array) -> Array:
    """max(0, 1 - (2 y - 1) p) of output p, summed over the classes. Source: google/youtube-8m, losses.py, HingeLoss."""
    labels = labels.astype(output.real.dtype)
    return np.maximum(1 - (2 * labels - 1) * output, 0).sum() / len(labels)


def _projection(logits: Array, output: Array, labels: Array) -> Array:
    """The sum of output * labels over everything, no mean."""
    return (output * labels.astype(output.real.dtype)).sum()


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            "softmax_cross_entropy",
            "class",
            ("none", "softmax", "log_softmax"),
            ("softmax", "log_softmax"),
            _softmax_cross_entropy,
        ),
        Loss(
            "multilabel_softmax_cross_entropy",
            "classes",
            ("none", "softmax", "log_softmax"),
            (),
            _multilabel_softmax_cross_entropy,
        ),
        Loss("sigmoid_cross_entropy", "classes", ("none", "sigmoid"), ("sigmoid",), _sigmoid_cross_entropy),
        Loss(
            "probability_cross_entropy",
            "classes",
            ("sigmoid", "softmax", "probabilities"),
            ("probabilities",),
            _probability_cross_entropy,
        ),
        Loss("hinge", "classes", ("none", "sigmoid", "probabilities"), (), _hinge),
        Loss("projection", "scores", (), (), _projection, checks_only=True),
    )
}
"""Every loss by name."""


def find_loss(name: str) -> Loss:
    """The loss of a name. Raises SpecError with the nearest right name."""
    if name not in LOSSES:
        raise SpecError(f"there is no loss '{name}'; {nearest(name, LOSSES)}")
    return LOSSES[name]


def _name_for_recipe(name: str) -> str:
    names = [loss.name for loss in LOSSES.values() if not loss.checks_only]
    if name not in names:
        raise ValueError(f"must be a loss; {nearest(name, names)}")
    return name


LossName = Annotated[str, AfterValidator(_name_for_recipe)]
"""The type of `train.loss`: the name of a loss that can train."""


def default_loss(spec: Spec) -> Loss | None:
    """The loss that belongs to a model's output, or None where none does."""
    return next((loss for loss in LOSSES.values() if spec.output in loss.default_for), None)


def choose_loss(name: str | None, spec: Spec) -> Loss:
    """The loss of a recipe: the one that it names, or the one that belongs to the model's output.

    Raises:
        SpecError: the loss can't be taken of the output, or none was named and none belongs to the output.
    """
    if name is None:
        loss = default_loss(spec)
        if loss is None:
            raise SpecError(f"model.output is '{spec.output}', which has no loss of its own; name one in train.loss")
        return loss
    loss = find_loss(name)
    if spec.output not in loss.outputs:
        fitting = [other.name for other in LOSSES.values() if spec.output in other.outputs]
        raise SpecError(
            f"train.loss: {name} needs model.output to be {' or '.join(loss.outputs)}, got {spec.output}; "
            f"of that there {'is' if len(fitting) == 1 else 'are'} {', '.join(fitting)}"
        )
    return loss


def checking_loss(spec: Spec) -> Loss:
    """The loss that checks take of a model: its output's own, or a projection where it has none."""
    return default_loss(spec) or LOSSES["projection"]
