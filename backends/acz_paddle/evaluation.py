"""Evaluation in PaddlePaddle: the best classes, selected where the model runs."""

from __future__ import annotations

from collections.abc import Mapping

import paddle
from paddle import Tensor

from acz.foundation.arrays import Array
from acz_paddle.base import Call
from acz_paddle.model import Model, to_device
from acz_paddle.training import LOSSES


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of each row, in any order, and their columns, (videos, count); of equal ones at the edge the smaller columns."""
    found, classes = paddle.topk(values, count)
    edge = found.min(1, keepdim=True)
    reach = values >= edge
    if bool((reach.astype("int32").sum(1) > count).any()):  # topk does not promise which of equal values it takes
        width = values.shape[1]
        above = (values > edge).astype("int32")
        keys = (reach.astype("int32") + above) * width - paddle.arange(width, dtype="int32")
        classes = paddle.topk(keys, count)[1]  # no two keys of a row are equal
        found = values.take_along_axis(classes, 1)
    return found, classes


def forward_best(
    model: Model,
    inputs: Mapping[str, Array],
    counts: Mapping[str, int],
    labels: Array | None = None,
    loss: str | None = None,
) -> dict[str, Array]:
    model.eval()
    with paddle.no_grad():
        logits = model.logits(to_device(model, inputs), Call())
        whole = {"output": model.finish(logits), "logits": logits}
        finite = [paddle.isfinite(value).all(1) for value in whole.values()]
        found = {"finite": finite[0] & finite[1]}
        for name, count in counts.items():
            found[name], found[f"{name}.classes"] = best(whole[name], count)
        if labels is not None and loss is not None:
            given = to_device(model, {"labels": labels})["labels"]
            found["loss"] = LOSSES[loss](model, logits[: len(labels)], given)
    return {name: value.numpy() for name, value in found.items()}
