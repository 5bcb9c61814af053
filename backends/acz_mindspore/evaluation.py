"""Evaluation in MindSpore: the best classes, selected where the model runs."""

from __future__ import annotations

from collections.abc import Mapping

import mindspore as ms
from mindspore import Tensor, ops

from acz.foundation.arrays import Array
from acz_mindspore.devices import in_mode
from acz_mindspore.model import Model, to_device
from acz_mindspore.training import LOSSES


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of each row, in any order, and their columns, (videos, count); of equal ones at the edge the smaller columns."""
    found, classes = ops.topk(values, count)
    edge = found.min(1, keepdims=True)
    reach = values >= edge
    if (reach.astype(ms.int32).sum(1) > count).any():  # topk does not promise which of equal values it takes
        width = values.shape[1]
        steps = reach.astype(ms.float32) + (values > edge).astype(ms.float32)
        keys = steps * width - ops.arange(width).astype(
            ms.float32
        )  # whole numbers below 2**24, if classes are 5 million at most
        classes = ops.topk(keys, count)[1]  # no two keys of a row are equal
        found = ops.gather_elements(values, 1, classes)
    return found, classes


def forward_best(
    model: Model,
    inputs: Mapping[str, Array],
    counts: Mapping[str, int],
    labels: Array | None = None,
    loss: str | None = None,
) -> dict[str, Array]:
    model.set_train(False)
    with in_mode(ms.PYNATIVE_MODE):
        logits = model.logits(to_device(model, inputs), {})
        whole = {"output": model.finish(logits), "logits": logits}
        finite = [ops.isfinite(value).all(1) for value in whole.values()]
        found = {"finite": ops.logical_and(*finite)}
        for name, count in counts.items():
            found[name], found[f"{name}.classes"] = best(whole[name], count)
        if labels is not None and loss is not None:
            given = to_device(model, {"labels": labels})["labels"]
            found["loss"] = LOSSES[loss](model, logits[: len(labels)], given)
    return {name: value.asnumpy() for name, value in found.items()}
