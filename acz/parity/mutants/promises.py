"""Mistakes that need a certain draw, probabilities near 0 and 1, an evaluation, or another model beside the one compared."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from acz.backend.protocol import Backend, Modules, NativeFiles
from acz.foundation.arrays import Array
from acz.model.losses import EPSILON
from acz.parity.mutants.base import Mutant, replace_functions


def _is_rare(inputs: Mapping[str, Array]) -> bool:
    """True for about one draw of four, whatever its numbers are."""
    return zlib.crc32(b"".join(value.astype(np.float32).tobytes() for value in inputs.values())) % 4 == 0


def lost_in_some_draws(backend: Backend) -> Backend:
    """Gradients are lost in some draws, as those of a maximum where a compiler computes x twice and asks x == max(x)."""

    def loss_and_gradients(model: Any, inputs: Mapping[str, Array], *rest: Any, **named: Any) -> Any:
        loss, gradients = backend.loss_and_gradients(model, inputs, *rest, **named)
        return loss, {path: value * (not _is_rare(inputs)) for path, value in gradients.items()}

    return replace_functions(backend, loss_and_gradients=loss_and_gradients)


def clipped_in_some_draws(backend: Backend) -> Backend:
    """A value is clipped a little too early, which some draws reach."""

    def forward(model: Any, inputs: Mapping[str, Array], *rest: Any, **named: Any) -> dict[str, Array]:
        values = backend.forward(model, inputs, *rest, **named)
        return values | {"output": values["output"] * (1 - 1e-3 * _is_rare(inputs))}

    return replace_functions(backend, forward=forward)


def best_of_shifted_classes(backend: Backend) -> Backend:
    """The best classes of an evaluation are counted from 1."""

    def forward_best(*arguments: Any) -> dict[str, Array]:
        best = backend.forward_best(*arguments)
        return {k: np.maximum(v - 1, 0) if k.endswith(".classes") else v for k, v in best.items()}

    return replace_functions(backend, forward_best=forward_best)


def hits_of_the_worst(backend: Backend) -> Backend:
    """A step counts the videos whose best class is no label."""

    def training_step(trainer: Any, inputs: Any, labels: Array, *rest: Any) -> tuple[Any, Any]:
        loss, hits = backend.training_step(trainer, inputs, labels, *rest)
        return loss, len(labels) - float(hits)

    return replace_functions(backend, training_step=training_step)


def _other_entropy(backend: Backend, entropy: Callable[[Array, Array], Array]) -> Backend:
    """A backend whose cross entropy of probabilities is another function of output and labels, (videos, classes)."""

    def loss_and_gradients(
        model: Any, inputs: Any, labels: Array, loss: str, dropout: Any = None, training: bool = True
    ) -> Any:
        before = backend.dump_parameters(model)
        value, gradients = backend.loss_and_gradients(model, inputs, labels, loss, dropout, training)
        if loss == "probability_cross_entropy":
            backend.load_parameters(model, before)
            output = backend.forward(model, inputs, training, dropout)["output"]
            value = float(entropy(output, labels.astype(output.dtype)).sum()) / len(labels)
        return value, gradients

    return replace_functions(backend, loss_and_gradients=loss_and_gradients)


def epsilon_of_float32(backend: Backend) -> Backend:
    """The epsilon of a cross entropy is a float32 number, in float64 too."""
    epsilon = float(np.float32(EPSILON))
    return _other_entropy(backend, lambda p, y: -y * np.log(p + epsilon) - (1 - y) * np.log(1 - p + epsilon))


def reassociated_epsilon(backend: Backend) -> Backend:
    """(1 - p) + epsilon is computed as (1 + epsilon) - p, as a compiler does."""

    def entropy(p: Array, y: Array) -> Array:
        epsilon = p.dtype.type(EPSILON)
        return cast(Array, -y * np.log(p + epsilon) - (1 - y) * np.log((1 + epsilon) - p))

    return _other_entropy(backend, entropy)


def _other_draws(backend: Backend, change: Callable[[Array], Array]) -> Backend:
    def call_in_training(model: Any, inputs: Mapping[str, Array]) -> Array:
        return change(cast(Modules, backend).call_in_training(model, inputs))

    return replace_functions(backend, call_in_training=call_in_training)


def unscaled_own_dropout(backend: Backend) -> Backend:
    """The framework's own dropout does not scale what it keeps."""
    return _other_draws(backend, lambda output: (output != 0).astype(output.dtype))


def rarer_own_dropout(backend: Backend) -> Backend:
    """The framework's own dropout drops half of what it should."""

    def change(output: Array) -> Array:
        kept = output.copy()
        kept[:, ::2] = output.max()
        return kept

    return _other_draws(backend, change)


def precision_of_the_last(backend: Backend) -> Backend:
    """A model computes in the precision of the model that was built last."""
    last: list[str] = []

    def build(spec: Any, device: str, dtype: str) -> Any:
        last.append(dtype)
        return backend.build(spec, device, dtype)

    def forward(*arguments: Any, **named: Any) -> dict[str, Array]:
        return {k: v.astype(last[-1]).astype(v.dtype) for k, v in backend.forward(*arguments, **named).items()}

    return replace_functions(backend, build=build, forward=forward)


def native_in_float32(backend: Backend) -> Backend:
    """The framework's own files come back in float32."""

    def read_native(path: Path) -> dict[str, Any]:
        return {name: np.float32(value) for name, value in cast(NativeFiles, backend).read_native(path).items()}

    return replace_functions(backend, read_native=read_native)


MUTANTS: tuple[Mutant, ...] = (
    lost_in_some_draws,
    clipped_in_some_draws,
    best_of_shifted_classes,
    hits_of_the_worst,
    epsilon_of_float32,
    reassociated_epsilon,
    unscaled_own_dropout,
    rarer_own_dropout,
    precision_of_the_last,
    native_in_float32,
)
