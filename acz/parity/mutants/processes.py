"""Backends whose processes share a training wrongly, in one way each: level 6 must catch every one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from acz.backend.helpers import adam_numbers, adam_update, prepare_gradients
from acz.backend.processes import Place
from acz.backend.protocol import Backend, Processes
from acz.foundation.arrays import Array, Arrays
from acz.model.optimizer import Adam
from acz.parity.mutants.base import replace_functions


def _other_step(backend: Backend, change: Callable[[Place, tuple[Any, ...]], tuple[Any, ...]]) -> Backend:
    """A backend whose steps are given other arguments: inputs, labels, dropout masks, learning rate, videos."""
    places: list[Place] = []

    def join(place: Place, device: str) -> None:
        places.append(place)
        cast(Processes, backend).join(place, device)

    def training_step(trainer: Any, *arguments: Any) -> Any:
        return backend.training_step(trainer, *(change(places[0], arguments) if len(arguments) == 5 else arguments))

    return replace_functions(backend, join=join, training_step=training_step)


def sum_of_ranks(backend: Backend) -> Backend:
    """The gradients of the ranks, each the mean over its own part, are added."""
    return _other_step(backend, lambda place, given: (*given[:4], len(given[1])))


def mean_of_rank_means(backend: Backend) -> Backend:
    """The gradients of the ranks are averaged, though their parts of a batch are uneven."""
    return _other_step(backend, lambda place, given: (*given[:4], len(given[1]) * place.world))


def dropout_drawn_per_rank(backend: Backend) -> Backend:
    """Each rank draws the dropout masks of its part by itself."""

    def change(place: Place, given: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs, labels, dropout, *rest = given
        return inputs, labels, {path: np.roll(mask, place.rank, axis=-1) for path, mask in dropout.items()}, *rest

    return _other_step(backend, change)


def part_of_another_rank(backend: Backend) -> Backend:
    """Every rank reads the first rank's part of the batch, filled up with zeros where its own is larger."""

    def first(place: Place, value: Array, videos: int) -> Array:
        given = np.zeros((-(-videos // place.world), *value.shape[1:]))
        if place.rank == 0:
            given[: len(value)] = value
        return cast(Processes, backend).total(given)[: len(value)].astype(value.dtype)

    def change(place: Place, given: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs, labels, dropout, rate, videos = given
        read = {name: first(place, inputs[name], videos) for name in sorted(inputs)}
        return read, first(place, labels, videos), dropout, rate, videos

    return _other_step(backend, change)


def mask_counted_per_rank(backend: Backend) -> Backend:
    """Batch norms give each rank's mean of frames the same weight, however many valid frames the rank's mask counts.

    Each rank repeats its frames until all ranks count as many. A video's attention, mean and maximum are those of its frames
    as before; in the statistics of the whole batch every rank now weighs the same.
    """

    def change(place: Place, given: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs, *rest = given
        repeated = dict(inputs)
        for name in sorted(inputs):
            if f"{name}.mask" in inputs:
                valid = np.zeros(place.world)
                valid[place.rank] = inputs[f"{name}.mask"].sum()
                counts = [max(round(count), 1) for count in cast(Processes, backend).total(valid)]
                times = math.lcm(*counts) // counts[place.rank]
                for key in (name, f"{name}.mask"):
                    repeated[key] = np.repeat(inputs[key], times, axis=1)
        return repeated, *rest

    return _other_step(backend, change)


@dataclass
class _Trainer:
    """A training whose steps are put together from each rank's own loss and gradients."""

    model: Any
    optimizer: Adam
    loss: str
    frozen: Collection[str]
    step: int = 0
    m: Arrays = field(default_factory=dict)
    v: Arrays = field(default_factory=dict)


def _own_steps(backend: Backend, clipped_first: bool) -> Backend:
    """A backend whose ranks reduce nothing but gradients: before they are clipped, or after."""
    total = cast(Processes, backend).total

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        return _Trainer(model, optimizer, loss, frozen)

    def training_step(
        trainer: _Trainer, inputs: Arrays, labels: Array, dropout: Arrays, rate: float, videos: int
    ) -> tuple[float, float]:
        loss, gradients = backend.loss_and_gradients(trainer.model, inputs, labels, trainer.loss, dropout)
        share = len(labels) / videos
        now = backend.dump_parameters(trainer.model)
        own = {path: gradients[path] for path in sorted(gradients) if path in now and path not in trainer.frozen}
        weights = {path: now[path] for path in own}
        if clipped_first:
            own = prepare_gradients(np, trainer.optimizer, weights, own)
        ready: Mapping[str, Array] = {path: total(value.astype(np.float64) * share) for path, value in own.items()}
        if not clipped_first:
            ready = prepare_gradients(np, trainer.optimizer, weights, ready)
        trainer.step += 1
        m, v = trainer.m or {p: 0 * w for p, w in weights.items()}, trainer.v or {p: 0 * w for p, w in weights.items()}
        numbers = adam_numbers(trainer.optimizer, trainer.step, rate)
        new, trainer.m, trainer.v = adam_update(np, trainer.optimizer, weights, ready, m, v, numbers)
        kinds = {path: value.astype(now[path].dtype) for path, value in new.items()}
        backend.load_parameters(trainer.model, {**now, **kinds})
        return float(total(np.array([loss * share]))[0]), 0.0

    return replace_functions(backend, start_training=start_training, training_step=training_step)


def local_batch_norm(backend: Backend) -> Backend:
    """Batch norms take the statistics of their own rank's part of the batch."""
    return _own_steps(backend, clipped_first=False)


def clipping_before_reduction(backend: Backend) -> Backend:
    """Each rank clips its own gradients before they are added."""
    return _own_steps(backend, clipped_first=True)


PROCESS_MUTANTS: dict[str, Callable[[Backend], Backend]] = {
    function.__name__: function
    for function in (
        sum_of_ranks,
        mean_of_rank_means,
        dropout_drawn_per_rank,
        part_of_another_rank,
        mask_counted_per_rank,
        local_batch_norm,
        clipping_before_reduction,
    )
}
