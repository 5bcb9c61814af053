"""Evaluation in PyTorch: the best classes, selected where the model runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from acz.foundation.arrays import Array
from acz_torch.base import Call
from acz_torch.model import Model, to_device
from acz_torch.training import LOSSES


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of each row, in any order, and their columns, (videos, count); of equal ones at the edge the smaller columns."""
    found, classes = torch.topk(values, count)
    edge = found.amin(1, keepdim=True)
    reach = values >= edge
    if (reach.sum(1) > count).any():  # topk does not promise which of equal values it takes
        width = values.shape[1]
        keys = (reach.int() + (values > edge).int()) * width - torch.arange(
            width, dtype=torch.int32, device=edge.device
        )
        classes = torch.topk(keys, count).indices  # no two keys of a row are equal
        found = values.gather(1, classes)
    return found, classes


def forward_best(
    model: Model,
    inputs: Mapping[str, Array],
    counts: Mapping[str, int],
    labels: Array | None = None,
    loss: str | None = None,
) -> dict[str, Array]:
    model.eval()
    with torch.inference_mode():
        logits = model.logits(to_device(model, inputs), Call(packs=True))
        whole = {"output": model.finish(logits), "logits": logits}
        finite = [torch.isfinite(value).all(1) for value in whole.values()]
        found = {"finite": finite[0] & finite[1]}
        for name, count in counts.items():
            found[name], found[f"{name}.classes"] = best(whole[name], count)
        if labels is not None and loss is not None:
            given = to_device(model, {"labels": labels})["labels"]
            found["loss"] = LOSSES[loss](model, logits[: len(labels)], given)
    return {name: value.cpu().numpy() for name, value in found.items()}
