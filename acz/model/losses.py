"""Losses: a table of objects, each with its definition in NumPy. An adapter computes the same natively.

Labels have three kinds:

- `class`: int (videos), the one class of each video;
- `classes`: (videos, classes), zeros and ones. Where a loss `takes_unrated`, a label below 0 says that nobody rated this
  class of this video; it adds nothing to the loss;
- `scores`: (videos, classes), any numbers, for checks only.
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
"""Added to a probability in a logarithm, as in the YouTube-8M starter code, which writes it as 10e-6."""

UNRATED = -1.0
"""The label of a class of a video that nobody rated."""


@dataclass(frozen=True)
class Loss:
    """A loss: its name, its labels, the outputs that it can train, and its definition."""

    name: str
    """The name in `train.loss`, and in the table of an adapter."""
    labels: Labels
    outputs: tuple[Output, ...]
    """Outputs of a model that the loss can train."""
    default_for: tuple[Output, ...]
    """Outputs of a model that use this loss where the recipe names no loss."""
    reference: Callable[[Array, Array, Array], Array]
    """`reference(logits, output, labels)`: logits and output (videos, classes) to the mean loss of a video."""
    checks_only: bool = False
    """True for a loss that a recipe cannot name."""
    has_kinks: bool = False
    """True where the derivative jumps."""
    is_sum: bool = False
    """True for a loss that is the sum over the videos, not their mean."""
    takes_unrated: bool = False
    """True for a loss that leaves out the classes of a video whose label is below 0."""

    def share(self, own: int, videos: int) -> float:
        """The factor of the loss of `own` videos in that of a whole batch of `videos`, of which they are a part."""
        return 1.0 if self.is_sum else own / videos

    @property
    def several_labels(self) -> bool:
        """True where a video may have any number of labels."""
        return self.labels == "classes"


def _softmax_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """-log softmax(logits)[label]."""
    return -log_softmax(logits)[np.arange(len(labels)), labels].sum() / len(labels)


def _multilabel_softmax_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """-log softmax(logits), averaged over the labels of each video; 0 for a video without labels.

    Source: google/youtube-8m, losses.py, SoftmaxLoss.
    """
    labels = labels.astype(output.real.dtype)
    shares = labels / np.maximum(labels.sum(axis=1, keepdims=True), 1)
    return (-shares * log_softmax(logits)).sum() / len(labels)  # (videos, classes) to ()


def _sigmoid_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """max(z, 0) - z y + log(1 + exp(-|z|)), summed over the classes. It is exact for every z. Source: PaddlePaddle."""
    labels = labels.astype(output.real.dtype)
    size = np.where(logits.real > 0, logits, -logits)
    each = np.maximum(logits, 0) - logits * labels + np.log(1 + np.exp(-size))
    return (each * (labels >= 0)).sum() / len(labels)


def _probability_cross_entropy(logits: Array, output: Array, labels: Array) -> Array:
    """-y log(p + e) - (1 - y) log(1 - p + e) of output p, summed over the classes, with e = EPSILON.

    The loss of a certain and correct output is slightly below 0. Source: google/youtube-8m, losses.py,
    CrossEntropyLoss.
    """
    labels = labels.astype(output.real.dtype)
    epsilon = output.real.dtype.type(EPSILON)
    each = -labels * np.log(output + epsilon) - (1 - labels) * np.log(1 - output + epsilon)
    return (each * (labels >= 0)).sum() / len(labels)


def _hinge(logits: Array, output: Array, labels: Array) -> Array:
    """max(0, 1 - (2 y - 1) p) of output p, summed over the classes. Source: google/youtube-8m, losses.py, HingeLoss."""
    labels = labels.astype(output.real.dtype)
    each = np.maximum(1 - (2 * labels - 1) * output, 0)
    return (each * (labels >= 0)).sum() / len(labels)


def _projection(logits: Array, output: Array, labels: Array) -> Array:
    """The sum of output * labels over all videos and classes, not a mean."""
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
        Loss(
            "sigmoid_cross_entropy",
            "classes",
            ("none", "sigmoid"),
            ("sigmoid",),
            _sigmoid_cross_entropy,
            takes_unrated=True,
        ),
        Loss(
            "probability_cross_entropy",
            "classes",
            ("sigmoid", "softmax", "probabilities"),
            ("probabilities",),
            _probability_cross_entropy,
            takes_unrated=True,
        ),
        Loss(
            "hinge",
            "classes",
            ("none", "sigmoid", "probabilities"),
            (),
            _hinge,
            has_kinks=True,
            takes_unrated=True,
        ),
        Loss("projection", "scores", (), (), _projection, checks_only=True, is_sum=True),
    )
}
"""Every loss by name."""


def find_loss(name: str) -> Loss:
    """Give the loss of a name.

    Raises:
        SpecError: `name` is not a loss. The message names the nearest loss.
    """
    if name not in LOSSES:
        raise SpecError(f"'{name}' is not a loss; {nearest(name, LOSSES)}")
    return LOSSES[name]


def _name_for_recipe(name: str) -> str:
    names = [loss.name for loss in LOSSES.values() if not loss.checks_only]
    if name not in names:
        raise ValueError(f"must be the name of a loss; {nearest(name, names)}")
    return name


LossName = Annotated[str, AfterValidator(_name_for_recipe)]
"""The type of `train.loss`: the name of a loss that can train."""


def default_loss(spec: Spec) -> Loss | None:
    """Give the loss that belongs to a model's output, or None where no loss does."""
    return next((loss for loss in LOSSES.values() if spec.output in loss.default_for), None)


def choose_loss(name: str | None, spec: Spec) -> Loss:
    """Give the loss that a recipe names, or else the loss that belongs to the model's output.

    Args:
        name: `train.loss` of the recipe, or None.
        spec: the model.

    Raises:
        SpecError: the loss cannot train the output, or the recipe names no loss and no loss belongs to the output.
    """
    if name is None:
        loss = default_loss(spec)
        if loss is None:
            raise SpecError(f"model.output is '{spec.output}', which has no loss of its own; name a loss in train.loss")
        return loss
    loss = find_loss(name)
    if spec.output not in loss.outputs:
        fitting = [other.name for other in LOSSES.values() if spec.output in other.outputs]
        raise SpecError(
            f"train.loss: {name} needs model.output to be {' or '.join(loss.outputs)}, got {spec.output}; "
            f"the losses of {spec.output} are: {', '.join(fitting)}"
        )
    return loss


def checking_loss(spec: Spec) -> Loss:
    """Give the loss that checks use for a model: the loss of its output, or the projection where it has none."""
    return default_loss(spec) or LOSSES["projection"]
