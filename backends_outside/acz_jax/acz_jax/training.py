"""Losses, gradients and Adam steps in JAX."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array as Tensor
from jax import lax

from acz.backend.helpers import (
    AdamNumbers,
    adam_numbers,
    adam_update,
    average_update,
    dump_moments,
    prepare_gradients,
    split_moments,
)
from acz.backend.native_layers import native_losses
from acz.foundation.arrays import Array
from acz.model.losses import ALPHA, EPSILON
from acz.model.optimizer import Adam
from acz_jax.base import Call, Tensors, jitted
from acz_jax.model import Model, numbers, to_device


def softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, -1), labels[:, None], 1).mean()


def multilabel_softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.astype(logits.dtype)
    shares = labels / jnp.maximum(labels.sum(1, keepdims=True), 1.0)
    return -(shares * jax.nn.log_softmax(logits, -1)).sum() / len(logits)


def rated(labels: Tensor) -> Tensor:
    """1 where a label is rated, else 0: a label below 0 has no rating and adds nothing to a loss."""
    return (labels >= 0).astype(labels.dtype)


def sigmoid_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    size, labels = jnp.abs(logits), labels.astype(logits.dtype)
    each = (logits + size) / 2 - logits * labels + jnp.log1p(jnp.exp(-size))
    return (rated(labels) * each).sum() / len(logits)


def probability_cross_entropy(model: Model, logits: Tensor, labels: Tensor, alpha: float = ALPHA) -> Tensor:
    output, labels = model.finish(logits), labels.astype(logits.dtype)
    rest = lax.optimization_barrier(1 - output)  # else XLA computes (1 + EPSILON) - output
    wanted, others = 2 * alpha * labels, 2 * (1 - alpha) * (1 - labels)
    each = -wanted * jnp.log(output + EPSILON) - others * jnp.log(rest + EPSILON)
    return (rated(labels) * each).sum() / len(logits)


def hinge(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    output, labels = model.finish(logits), labels.astype(logits.dtype)
    return (rated(labels) * jax.nn.relu(1 - (2 * labels - 1) * output)).sum() / len(logits)


def projection(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return (model.finish(logits) * labels.astype(logits.dtype)).sum()


LOSSES: dict[str, Callable[[Model, Tensor, Tensor], Tensor]] = native_losses(globals())
"""Losses by name, of logits (videos, classes) and labels. Formulas are those of acz.model.losses."""


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """The number of videos whose best class is a label."""
    best = logits.argmax(-1)
    if labels.ndim == 1:
        return (best == labels).sum()
    return (jnp.take_along_axis(labels, best[:, None], 1) > 0).sum()


def loss_and_gradients(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array,
    loss: str,
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
) -> tuple[float, dict[str, Array]]:
    value_of = LOSSES[loss]

    def run(parameters: Tensors, fed: Tensors, labels: Tensor, dropout: Tensors) -> tuple[Tensor, Tensors]:
        floats = {name for name, value in fed.items() if jnp.issubdtype(value.dtype, jnp.floating)}
        wanted = {path: parameters[path] for path in model.spec.trained} | {name: fed[name] for name in floats}

        def value(wanted: Tensors) -> Tensor:
            given = {**fed, **{name: wanted[name] for name in floats}}
            own = {**parameters, **{path: wanted[path] for path in model.spec.trained}}
            return value_of(model, model.logits(own, given, Call(training, dropout=dropout)), labels)

        found: tuple[Tensor, Tensors] = jax.value_and_grad(value)(wanted)
        return found

    with numbers(model):
        groups = (to_device(model, group) for group in (inputs, {"labels": labels}, dropout or {}))
        fed, answers, masks = groups
        compiled = model.compile(run, "gradients", loss, training)
        found, gradients = compiled(model.parameters, fed, answers["labels"], masks)
    return float(found), {path: np.array(gradient) for path, gradient in gradients.items()}


@dataclass
class Trainer:
    """The model, and Adam's state by path."""

    model: Model
    optimizer: Adam
    loss: str
    kept: frozenset[str]
    """Paths of the statistics that stay."""
    compiled: Any
    m: dict[str, Tensor] = field(default_factory=dict)
    v: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    a: dict[str, Tensor] = field(default_factory=dict)
    """Averages, where the optimiser keeps them and a step was taken or a state was loaded."""


def start_training(model: Model, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Trainer:
    trained = [path for path in model.spec.trained if path not in frozen]
    compiled = jitted(step_of(model, optimizer, loss), donate_argnums=(0, 1, 2))
    zeros = {path: model.spec.parameters[path].shape for path in trained}
    m, v = (to_device(model, {path: np.zeros(shape, model.dtype) for path, shape in zeros.items()}) for _ in range(2))
    kept = frozenset(path for path in model.spec.statistics if path in frozen)
    return Trainer(model, optimizer, loss, kept, compiled, m, v)


def step_of(model: Model, optimizer: Adam, loss: str) -> Callable[..., Any]:
    """One step as a function of arrays: the new parameters, moments and statistics, the loss and the hits."""
    value_of = LOSSES[loss]

    def step(
        trained: Tensors,
        m: Tensors,
        v: Tensors,
        others: Tensors,
        fed: Tensors,
        labels: Tensor,
        dropout: Tensors,
        factors: list[Any],
    ) -> Any:
        def value(trained: Tensors) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
            call = Call(True, dropout=dropout)
            logits = model.logits({**others, **trained}, fed, call)
            return value_of(model, logits, labels), (logits, call.moved)

        (loss_before, (logits, moved)), gradients = jax.value_and_grad(value, has_aux=True)(trained)
        ready = prepare_gradients(jnp, optimizer, trained, gradients)
        state = adam_update(jnp, optimizer, trained, ready, m, v, AdamNumbers(*factors))
        return *state, moved, loss_before, hits(logits, labels)

    return step


def training_step(
    trainer: Trainer,
    inputs: Mapping[str, Array],
    labels: Array,
    dropout: Mapping[str, Array],
    learning_rate: float,
) -> tuple[Tensor, Tensor]:
    model = trainer.model
    trainer.step += 1
    averages = current_averages(trainer)
    factors = adam_numbers(trainer.optimizer, trainer.step, learning_rate)
    trained = {path: model.parameters[path] for path in trainer.m}
    others = {path: value for path, value in model.parameters.items() if path not in trained}
    with numbers(model):
        fed, answers, masks = (to_device(model, group) for group in (inputs, {"labels": labels}, dropout))
        typed = [np.asarray(value, model.dtype) for value in factors]
        new, trainer.m, trainer.v, moved, loss, right = trainer.compiled(
            trained, trainer.m, trainer.v, others, fed, answers["labels"], masks, typed
        )
        trainer.a = average_update(trainer.optimizer, averages, new)
    model.parameters |= new | {path: value for path, value in moved.items() if path not in trainer.kept}
    return loss, right


def dump_optimizer(trainer: Trainer) -> dict[str, Array]:
    averages = {f"a.{path}": np.array(value) for path, value in current_averages(trainer).items()}
    return dump_moments(trainer.m, trainer.v, trainer.step) | averages


def current_averages(trainer: Trainer) -> dict[str, Tensor]:
    """The averages; before the first step they are copies of the weights, whose memory a step uses again."""
    if not trainer.optimizer.average_decay or trainer.a:
        return trainer.a
    model = trainer.model
    return to_device(model, {path: np.array(model.parameters[path]) for path in trainer.m})


def load_optimizer(trainer: Trainer, state: Mapping[str, Array]) -> None:
    m, v, trainer.step = split_moments(state)
    trainer.m, trainer.v = (to_device(trainer.model, {path: part[path] for path in trainer.m}) for part in (m, v))
    if trainer.optimizer.average_decay:
        trainer.a = to_device(trainer.model, {path: np.array(state[f"a.{path}"]) for path in trainer.m})
