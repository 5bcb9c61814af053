"""Mistakes in gradients, in the optimiser and in its state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.model.optimizer import Adam, AveragedAdam
from acz.parity.mutants.base import Mutant, replace_functions


def wrong_gradient(backend: Backend) -> Backend:
    """Gradients are summed over the videos where they should be averaged."""

    def loss_and_gradients(model: Any, inputs: Any, labels: Array, *rest: Any) -> Any:
        loss, gradients = backend.loss_and_gradients(model, inputs, labels, *rest)
        return loss, {path: value * len(labels) for path, value in gradients.items()}

    return replace_functions(backend, loss_and_gradients=loss_and_gradients)


def other_weight_decay(backend: Backend) -> Backend:
    """Coupled and decoupled weight decay are exchanged, as Keras and PyTorch differ by default."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        other = optimizer.model_copy(update={"decoupled": not optimizer.decoupled})
        return backend.start_training(model, other, loss, frozen)

    return replace_functions(backend, start_training=start_training)


def exchanged_clipping(backend: Backend) -> Backend:
    """Each tensor is clipped where all should be together, and the other way round."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        other = {"clip_norm": optimizer.clip_global_norm, "clip_global_norm": optimizer.clip_norm}
        return backend.start_training(model, optimizer.model_copy(update=other), loss, frozen)

    return replace_functions(backend, start_training=start_training)


def doubled_penalty(backend: Backend) -> Backend:
    """The L2 penalty is factor * sum(w^2), without the half."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        doubled = {path: 2 * factor for path, factor in optimizer.l2_penalty.items()}
        return backend.start_training(model, optimizer.model_copy(update={"l2_penalty": doubled}), loss, frozen)

    return replace_functions(backend, start_training=start_training)


def moving_frozen_statistics(backend: Backend) -> Backend:
    """The statistics of frozen batch norms move, though their paths are frozen too."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        weights = [path for path in frozen if not path.endswith(("running_mean", "running_variance"))]
        return backend.start_training(model, optimizer, loss, weights)

    return replace_functions(backend, start_training=start_training)


def counted_frozen(backend: Backend) -> Backend:
    """Frozen parameters are restored after each step, but their gradients count in the norm that clips."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        return backend.start_training(model, optimizer, loss), model, frozen

    def training_step(trainer: Any, *arguments: Any) -> Any:
        inner, model, frozen = trainer
        before = backend.dump_parameters(model)
        answer = backend.training_step(inner, *arguments)
        kept = {path: before[path] for path in frozen}
        backend.load_parameters(model, {**backend.dump_parameters(model), **kept})
        return answer

    def dump_optimizer(trainer: Any) -> dict[str, Array]:
        inner, _, frozen = trainer
        return {key: value for key, value in backend.dump_optimizer(inner).items() if key[2:] not in frozen}

    return replace_functions(
        backend, start_training=start_training, training_step=training_step, dump_optimizer=dump_optimizer
    )


def swapped_average(backend: Backend) -> Backend:
    """The average of the weights keeps the share that it should take."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        if isinstance(optimizer, AveragedAdam):
            optimizer = optimizer.model_copy(update={"average": 1 - optimizer.average})
        return backend.start_training(model, optimizer, loss, frozen)

    return replace_functions(backend, start_training=start_training)


def lost_moments(backend: Backend) -> Backend:
    """A checkpoint keeps the weights and forgets the optimiser's second moments."""

    def load_optimizer(trainer: Any, state: Mapping[str, Array]) -> None:
        forgotten = {k: np.zeros_like(v) if k.startswith("v.") else v for k, v in state.items()}
        backend.load_optimizer(trainer, forgotten)

    return replace_functions(backend, load_optimizer=load_optimizer)


MUTANTS: tuple[Mutant, ...] = (
    wrong_gradient,
    other_weight_decay,
    exchanged_clipping,
    doubled_penalty,
    moving_frozen_statistics,
    counted_frozen,
    swapped_average,
    lost_moments,
)
