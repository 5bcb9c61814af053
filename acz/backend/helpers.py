"""Parts of an adapter as array code that runs in any framework. An adapter may use them; those of this repository need not.

`xp` is the framework's array namespace, such as numpy, jax.numpy or torch. No function changes an array in place, and none
reads a number back, so all of them can be compiled. `tests/outside_backend` uses every one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from acz.foundation.arrays import Array
from acz.model.losses import ALPHA, EPSILON, LossTable
from acz.model.optimizer import Adam

Tensor = Any
"""An array of the framework."""
Tensors = dict[str, Tensor]
"""Arrays of the framework by path."""


class AdamNumbers(NamedTuple):
    """The factors of Adam that change from step to step: plain numbers, so that a compiled step can take them as inputs."""

    rate: float
    """The learning rate, corrected for both moments."""
    epsilon: float
    """The epsilon that stands beside the uncorrected root."""
    kept: float
    """The share of a weight that decoupled weight decay leaves."""


def adam_numbers(optimizer: Adam, step: int, learning_rate: float) -> AdamNumbers:
    """The numbers of a step, which is counted from 1."""
    corrected = learning_rate * np.sqrt(1 - optimizer.beta2**step) / (1 - optimizer.beta1**step)
    return AdamNumbers(
        float(corrected), optimizer.outside_epsilon(step), float(1 - learning_rate * optimizer.weight_decay)
    )


def prepare_gradients(
    xp: Any, optimizer: Adam, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
) -> Tensors:
    """Gradients with the L2 penalties added, then clipped, each by its own norm and all by their norm together."""
    penalties = optimizer.penalties(gradients)
    ready = {path: g + parameters[path] * penalties[path] if path in penalties else g for path, g in gradients.items()}
    if optimizer.clip_norm is not None:
        ready = {path: g * _shrinking(xp, [g], optimizer.clip_norm) for path, g in ready.items()}
    if optimizer.clip_global_norm is not None:
        factor = _shrinking(xp, list(ready.values()), optimizer.clip_global_norm)
        ready = {path: g * factor for path, g in ready.items()}
    return ready


def _shrinking(xp: Any, gradients: list[Tensor], limit: float) -> Tensor:
    """The factor under which the norm of gradients together is `limit` at most."""
    norm = xp.sqrt(sum((g * g).sum() for g in gradients))
    return limit / xp.clip(norm, limit, None)


def adam_update(
    xp: Any,
    optimizer: Adam,
    parameters: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    m: Mapping[str, Tensor],
    v: Mapping[str, Tensor],
    numbers: AdamNumbers,
) -> tuple[Tensors, Tensors, Tensors]:
    """One step of Adam, as acz.model.optimizer defines it.

    Args:
        parameters: the trained ones, by path; the other dictionaries have the same paths.
        gradients: what `prepare_gradients` gave.
        m: first moments, zeros before the first step.
        v: second moments, likewise.
        numbers: what `adam_numbers` gave for the step.

    Returns:
        New parameters, first moments and second moments.
    """
    new: tuple[Tensors, Tensors, Tensors] = {}, {}, {}
    for path, w in parameters.items():
        g = gradients[path]
        if optimizer.weight_decay and optimizer.decoupled:
            w = w * numbers.kept
        elif optimizer.weight_decay:
            g = g + w * optimizer.weight_decay
        first = m[path] * optimizer.beta1 + g * (1 - optimizer.beta1)
        second = v[path] * optimizer.beta2 + g * g * (1 - optimizer.beta2)
        new[0][path] = w - first / (xp.sqrt(second) + numbers.epsilon) * numbers.rate
        new[1][path], new[2][path] = first, second
    return new


def average_update(optimizer: Adam, averages: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> Tensors:
    """The averages after a step, as acz.model.optimizer defines them.

    Args:
        averages: those before the step, by path; before the first step the weights before it.
        parameters: the trained parameters after the step.
    """
    share = 1 - optimizer.average_decay
    return {path: average + (parameters[path] - average) * share for path, average in averages.items()}


def dump_moments(m: Mapping[str, Tensor], v: Mapping[str, Tensor], step: int) -> dict[str, Array]:
    """The return value of `dump_optimizer`: copies of the moments as NumPy arrays, under `m.<path>` and `v.<path>`, and `step`."""
    state = {f"{name}.{path}": np.array(value) for name, part in (("m", m), ("v", v)) for path, value in part.items()}
    return {**state, "step": np.array(step, dtype=np.int64)}


def split_moments(state: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array], int]:
    """Copies of the argument of `load_optimizer`: first moments, second moments and the number of steps."""
    m, v = ({key[2:]: np.array(value) for key, value in state.items() if key.startswith(f"{name}.")} for name in "mv")
    return m, v, int(state["step"])


def best_classes(
    xp: Any,
    whole: Mapping[str, Tensor],
    counts: Mapping[str, int],
    best: Callable[[Tensor, int], tuple[Tensor, Tensor]],
) -> Tensors:
    """The return value of `forward_best` without a loss.

    Args:
        whole: `output` and `logits`, (videos, classes).
        counts: how many of the best are wanted, by name.
        best: of values (videos, classes) and a count, the best values of each row and their classes, both (videos, count), in
            any order; of equal values at the edge those of the smaller classes.
    """
    found: Tensors = {"finite": xp.isfinite(whole["output"]).all(1) & xp.isfinite(whole["logits"]).all(1)}
    for name, count in counts.items():
        known = xp.where(found["finite"][:, None], whole[name], xp.zeros_like(whole[name]))  # the others mean nothing
        found[name], found[f"{name}.classes"] = best(known, count)
    return found


def loss_per_video(xp: Any, loss: str, logits: Tensor, output: Tensor, labels: Tensor) -> Tensor:
    """A loss of each video, (videos): the loss is their mean, and their sum where its description says so.

    Args:
        loss: a name in acz.model.losses.LOSSES, whose formulas these are.
        logits: (videos, classes).
        output: (videos, classes).
        labels: (videos) of classes for `softmax_cross_entropy`; else (videos, classes), in the logits' dtype. A label
            below 0 has no rating: see `Loss.takes_unrated`.
    """
    return PER_VIDEO[loss](xp, logits, output, labels)


def _log_softmax(xp: Any, logits: Tensor) -> Tensor:
    z = logits - xp.amax(logits, axis=1, keepdims=True)
    return z - xp.log(xp.exp(z).sum(axis=1, keepdims=True))


def _softmax_cross_entropy(xp: Any, logits: Tensor, output: Tensor, labels: Tensor) -> Tensor:
    return -_log_softmax(xp, logits)[xp.arange(len(labels)), labels]


def _multilabel_softmax_cross_entropy(xp: Any, logits: Tensor, output: Tensor, labels: Tensor) -> Tensor:
    shares = labels / xp.clip(labels.sum(axis=1, keepdims=True), 1, None)
    return -(shares * _log_softmax(xp, logits)).sum(axis=1)


def _sigmoid_cross_entropy(xp: Any, logits: Tensor, output: Tensor, labels: Tensor) -> Tensor:
    size = xp.abs(logits)
    each = (logits + size) / 2 - logits * labels + xp.log1p(xp.exp(-size))
    return xp.where(labels >= 0, each, 0.0).sum(axis=1)


def _probability_cross_entropy(xp: Any, logits: Tensor, output: Tensor, labels: Tensor, alpha: float = ALPHA) -> Tensor:
    wanted, others = 2 * alpha * labels, 2 * (1 - alpha) * (1 - labels)
    each = -wanted * xp.log(output + EPSILON) - others * xp.log(1 - output + EPSILON)
    return xp.where(labels >= 0, each, 0.0).sum(axis=1)


def _hinge(xp: Any, logits: Tensor, output: Tensor, labels: Tensor) -> Tensor:
    return xp.where(labels >= 0, xp.clip(1 - (2 * labels - 1) * output, 0, None), 0.0).sum(axis=1)


def _projection(xp: Any, logits: Tensor, output: Tensor, labels: Tensor) -> Tensor:
    return (output * labels).sum(axis=1)


PER_VIDEO: LossTable[Callable[..., Tensor]] = LossTable(
    (
        ("softmax_cross_entropy", _softmax_cross_entropy),
        ("multilabel_softmax_cross_entropy", _multilabel_softmax_cross_entropy),
        ("sigmoid_cross_entropy", _sigmoid_cross_entropy),
        ("probability_cross_entropy", _probability_cross_entropy),
        ("hinge", _hinge),
        ("projection", _projection),
    ),
    lambda function, name, alpha: partial(function, alpha=alpha),
)
"""Each loss of a video. A test holds that none is missing and that each is the reference's."""
