"""The exponential average of a run's weights, in an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from acz.backend.protocol import Backend
from acz.zoo.recipe import Average

AVERAGE = "a."
"""The start of the names that the optimiser's state has for averages."""


@contextmanager
def evaluated_weights(backend: Backend, model: Any, trainer: Any, average: Average | None) -> Iterator[None]:
    """Let the model have the averaged weights inside of a `with`, where the recipe asks for it. The step's own come back."""
    if average is None or not average.evaluate:
        yield
        return
    weights, state = backend.dump_parameters(model), backend.dump_optimizer(trainer)
    averages = {name.removeprefix(AVERAGE): value for name, value in state.items() if name.startswith(AVERAGE)}
    backend.load_parameters(model, {**weights, **averages})
    try:
        yield
    finally:
        backend.load_parameters(model, weights)
