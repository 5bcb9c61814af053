"""Evaluation in TensorFlow: the best classes, selected where the model runs."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
from tensorflow import Tensor

from acz.foundation.arrays import Array
from acz_tensorflow.base import Call
from acz_tensorflow.model import Model, Tensors, to_device
from acz_tensorflow.training import LOSSES


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of each row, and their columns, (videos, count); of equal ones the smaller columns, which top_k promises."""
    return tf.math.top_k(values, count)


def forward_best(
    model: Model,
    inputs: Mapping[str, Array],
    counts: Mapping[str, int],
    labels: Array | None = None,
    loss: str | None = None,
) -> dict[str, Array]:
    def run(fed: Tensors, given: Tensors) -> dict[str, Tensor]:
        logits = model.logits(fed, Call(False))
        whole = {"output": model.finish(logits), "logits": logits}
        finite = [tf.reduce_all(tf.math.is_finite(value), 1) for value in whole.values()]
        found = {"finite": finite[0] & finite[1]}
        for name, count in counts.items():
            found[name], found[f"{name}.classes"] = best(whole[name], count)
        if loss is not None and given:
            found["loss"] = LOSSES[loss](model, logits[: tf.shape(given["labels"])[0]], given["labels"])
        return found

    given = {} if labels is None or loss is None else {"labels": labels}
    settings = ("best", loss, *counts.items())
    found = model.graphs(run, settings, to_device(model, inputs), to_device(model, given))
    return {name: value.numpy() for name, value in found.items()}
