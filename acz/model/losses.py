"""Losses: a table of objects, each with its definition in NumPy. An adapter computes the same natively.

Labels have three kinds:

- `class`: int (videos), the one class of each video;
- `classes`: (videos, classes), zeros and ones. Where a loss `takes_unrated`, a label below 0 says that nobody rated this
  class of this video; it adds nothing to the loss;
- `scores`: (videos, classes), any numbers, for checks only.

A loss that takes `alpha` has it in its name: `probability_cross_entropy(alpha=0.8)`. Tables of losses by name, `LOSSES`
and those of adapters, make the entry of such a name from that of the loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, BeforeValidator

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError, nearest
from acz.model.layers.activation import log_softmax
from acz.model.spec import Output, Spec

Labels = Literal["class", "classes", "scores"]

EPSILON = 1e-5
"""Added to a probability in a logarithm, as in the YouTube-8M starter code, which writes it as 10e-6."""

ALPHA = 0.5
"""The share of the labels in a loss that takes `alpha`; with it the loss is the one without a setting."""
WITH_ALPHA = re.compile(r"(?P<loss>\w+)\(alpha=(?P<alpha>[^()]*)\)")

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
    reference: Callable[..., Array]
    """`reference(logits, output, labels)`: logits and output (videos, classes) to the mean loss of a video."""
    checks_only: bool = False
    """True for a loss that a recipe cannot name."""
    has_kinks: bool = False
    """True where the derivative jumps."""
    is_sum: bool = False
    """True for a loss that is the sum over the videos, not their mean."""
    takes_unrated: bool = False
    """True for a loss that leaves out the classes of a video whose label is below 0."""
    is_linear: bool = False
    """True for a loss that is linear in the labels, so that a teacher's scores can be a part of these."""
    takes_alpha: bool = False
    """True where `reference`, and an adapter's function, take `alpha` by name."""

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


def _probability_cross_entropy(logits: Array, output: Array, labels: Array, alpha: float = ALPHA) -> Array:
    """-2 a y log(p + e) - 2 (1 - a) (1 - y) log(1 - p + e) of output p, summed over the classes, with e = EPSILON.

    The loss of a certain and correct output is slightly below 0. Source: google/youtube-8m, losses.py,
    CrossEntropyLoss; with alpha antoine77340/Youtube-8M-WILLOW.
    """
    labels = labels.astype(output.real.dtype)
    epsilon = output.real.dtype.type(EPSILON)
    wanted, others = 2 * alpha * labels, 2 * (1 - alpha) * (1 - labels)
    each = -wanted * np.log(output + epsilon) - others * np.log(1 - output + epsilon)
    return (each * (labels >= 0)).sum() / len(labels)


def _hinge(logits: Array, output: Array, labels: Array) -> Array:
    """max(0, 1 - (2 y - 1) p) of output p, summed over the classes. Source: google/youtube-8m, losses.py, HingeLoss."""
    labels = labels.astype(output.real.dtype)
    each = np.maximum(1 - (2 * labels - 1) * output, 0)
    return (each * (labels >= 0)).sum() / len(labels)


def _projection(logits: Array, output: Array, labels: Array) -> Array:
    """The sum of output * labels over all videos and classes, not a mean."""
    return (output * labels.astype(output.real.dtype)).sum()


Entry = TypeVar("Entry")


class LossTable(dict[str, Entry]):
    """Entries by the name of a loss. The entry of a name with `alpha` is made from that of its loss.

    Args:
        entries: pairs of a loss's name and its entry.
        weigh: makes the entry from that of the loss, the name, and alpha.
    """

    def __init__(self, entries: Iterable[tuple[str, Entry]], weigh: Callable[[Entry, str, float], Entry]) -> None:
        super().__init__(entries)
        self._weigh = weigh

    def __missing__(self, name: str) -> Entry:
        loss, alpha = _split(name)
        if alpha is None:
            raise KeyError(name)
        return self._weigh(self[loss], name, alpha)


def _split(name: str) -> tuple[str, float | None]:
    """The name of a loss and its alpha, if it has one. Raises ValueError where the alpha is not possible."""
    parts = WITH_ALPHA.fullmatch(name)
    if parts is None:
        return name, None
    try:
        alpha = float(parts["alpha"])
    except ValueError:
        alpha = -1.0
    taking = [loss.name for loss in LOSSES.values() if loss.takes_alpha]
    if parts["loss"] not in taking:
        raise ValueError(f"{' and '.join(taking)} takes an alpha, {parts['loss']} does not")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be a number of 0 .. 1, got {parts['alpha']}")
    return parts["loss"], alpha


def _weighed(loss: Loss, name: str, alpha: float) -> Loss:
    return replace(loss, name=name, default_for=(), reference=partial(loss.reference, alpha=alpha))


LOSSES: LossTable[Loss] = LossTable(
    (
        (loss.name, loss)
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
                is_linear=True,
            ),
            Loss(
                "probability_cross_entropy",
                "classes",
                ("sigmoid", "softmax", "probabilities"),
                ("probabilities",),
                _probability_cross_entropy,
                takes_unrated=True,
                is_linear=True,
                takes_alpha=True,
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
    ),
    _weighed,
)
"""Every loss by name."""


def find_loss(name: str) -> Loss:
    """Give the loss of a name.

    Raises:
        SpecError: `name` is not a loss. The message names the nearest loss.
    """
    try:
        return LOSSES[name]
    except KeyError:
        raise SpecError(f"'{name}' is not a loss; {nearest(name, LOSSES)}") from None
    except ValueError as error:
        raise SpecError(f"'{name}' is not a loss: {error}") from None


def _name_from_settings(value: Any) -> Any:
    """The name of `{type: LOSS, alpha: A}`; anything else as it is."""
    if not isinstance(value, dict) or set(value) - {"type", "alpha"} or "type" not in value:
        return value
    return f"{value['type']}(alpha={value['alpha']})" if "alpha" in value else value["type"]


def _name_for_recipe(name: str) -> str:
    names = [loss.name for loss in LOSSES.values() if not loss.checks_only]
    loss, alpha = _split(name)
    if loss not in names:
        raise ValueError(f"must be the name of a loss; {nearest(loss, names)}")
    return loss if alpha is None else f"{loss}(alpha={alpha})"


LossName = Annotated[str, BeforeValidator(_name_from_settings), AfterValidator(_name_for_recipe)]
"""The type of `train.loss`: the name of a loss that can train, or `{type: NAME, alpha: A}`."""


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
