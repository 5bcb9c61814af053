"""Evaluation in JAX: the best classes, selected where the model runs."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array as Tensor

from acz.backend.helpers import best_classes
from acz.foundation.arrays import Array
from acz_jax.base import Call, Tensors
from acz_jax.model import Model, numbers, to_device
from acz_jax.training import LOSSES


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of each row, and their columns, (videos, count); of equal ones the smaller columns.

    The sort is stable and takes zeros of both signs for equal; to top_k -0.0 is less than 0.0.
    """
    classes = jnp.argsort(-values, axis=1, stable=True)[:, :count]
    return jnp.take_along_axis(values, classes, 1), classes


def forward_best(
    model: Model,
    inputs: Mapping[str, Array],
    counts: Mapping[str, int],
    labels: Array | None = None,
    loss: str | None = None,
) -> dict[str, Array]:
    def run(parameters: Tensors, fed: Tensors, given: Tensors) -> dict[str, Tensor]:
        logits = model.logits(parameters, fed, Call())
        found = best_classes(jnp, {"output": model.finish(logits), "logits": logits}, counts, best)
        if loss is not None and given:
            found["loss"] = LOSSES[loss](model, logits[: len(given["labels"])], given["labels"])
        return found

    given = {} if labels is None or loss is None else {"labels": labels}
    with numbers(model):
        compiled = model.compile(run, "best", loss, *counts.items())
        found = compiled(model.parameters, to_device(model, inputs), to_device(model, given))
    return {name: np.array(value) for name, value in found.items()}
