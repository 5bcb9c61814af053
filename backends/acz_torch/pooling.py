"""Pooling over frames, and bags of frames, in PyTorch. Formulas and settings are those of acz.model.layers.pooling and acz.model.layers.bags."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from acz.model.layers import pooling
from acz_torch.base import Call, Layer, in_float32, l2_normalize, lowest, sigmoid


def pool(kind: str, x: Tensor, mask: Tensor | None) -> Tensor:
    """One number for each feature, of the valid frames of each video."""
    return in_float32(lambda x: _pool(kind, x, mask), x)


def _pool(kind: str, x: Tensor, mask: Tensor | None) -> Tensor:
    if kind == "max":
        if mask is None:
            return x.amax(1)
        return x.masked_fill(~mask[:, :, None], lowest(x)).amax(1).masked_fill(~mask.any(1, keepdim=True), 0.0)
    if kind == "sum":
        return x.sum(1) if mask is None else (mask[:, None].to(x.dtype) @ x).squeeze(1)
    if kind == "l2_norm":
        s = _pool("sum", x * x, mask)
        return s * torch.rsqrt(s.clamp_min(1e-12))
    count = x.shape[1] if mask is None else mask.sum(1, keepdim=True).clamp_min(1).to(x.dtype)
    mean = _pool("sum", x, mask) / count
    return mean if kind == "mean" else _pool("sum", (x - mean[:, None]).square(), mask) / count


class FramePool(Layer):
    settings: pooling.FramePool

    def forward(self, x: Tensor, call: Call) -> Tensor:
        found = [pool(kind, x, call.mask) for kind in self.settings.pooling]  # of (videos, features)
        return torch.cat([l2_normalize(y) for y in found] if self.settings.normalize else found, 1)


class GatedBag(Layer):
    settings: pooling.GatedBag

    def forward(self, x: Tensor, call: Call) -> Tensor:
        largest = l2_normalize(pool("max", x, call.mask))  # (videos, clusters)
        g = sigmoid(self.norm(self.excite(self.squeeze(largest)), call))
        call.recorded[f"{self.path}.gates"] = g
        return l2_normalize(g * pool("sum", x, call.mask))  # (videos, clusters)


def over_bags(layer: Any, x: Tensor, call: Call) -> Tensor:
    """The layer's vectors of each video's bags, averaged over the bags that have a valid frame."""
    mask, bag, (videos, frames, features) = call.mask, layer.bag, x.shape
    exporting = torch.compiler.is_exporting()
    if exporting or torch.jit.is_tracing() or frames % bag:
        # torch.export can't leave open whether an axis has the size 1: there is one bag more, without valid frames
        count = (frames + (2 * bag if exporting else bag) - 1) // bag
        place = torch.arange(count * bag, device=x.device).reshape(count, bag)
        inside, place = place < frames, place.clamp_max(frames - 1)
        valid = inside.expand(videos, count, bag) if mask is None else mask[:, place] & inside
        x, call.mask = x[:, place].flatten(0, 1), valid.flatten(0, 1)  # (videos * bags, frames of a bag, features)
    else:
        x, call.mask = x.reshape(-1, bag, features), None if mask is None else mask.reshape(-1, bag)
    y = layer(x, call)
    held, call.mask = call.mask, mask
    y = y.unflatten(0, (videos, y.shape[0] // videos))  # (videos, bags, features of the layer)
    return pool("mean", y, None if held is None else held.any(1).unflatten(0, (videos, y.shape[1])))
