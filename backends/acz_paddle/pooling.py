"""Pooling over frames, and bags of frames, in PaddlePaddle. Formulas and settings are those of acz.model.layers.pooling and acz.model.layers.bags."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from acz.model.layers import pooling
from acz.model.layers.attention import LOWEST
from acz_paddle.base import Call, Layer, batch_norm, l2_normalize, linear, rsqrt, wide


def pool(kind: str, x: Tensor, mask: Tensor | None) -> Tensor:
    """One number for each feature, of the valid frames of each video."""
    if kind == "max":
        if mask is None:
            return x.amax(1)
        # not masked_fill, which paddle.inference does in place where x itself is wanted too
        y = paddle.where(mask.unsqueeze(2), x, paddle.full_like(x, LOWEST)).amax(1)
        return y.masked_fill(~mask.any(1, keepdim=True), 0.0)
    if kind == "sum":
        return x.sum(1) if mask is None else (mask.unsqueeze(1).astype(x.dtype) @ x).squeeze(1)
    if kind == "l2_norm":
        s = pool("sum", x * x, mask)
        return s * rsqrt(s.clip(min=1e-12))
    if kind == "variance":
        centred = x - pool("mean", x, mask).unsqueeze(1)
        return pool("mean", centred * centred, mask)
    if mask is None:
        return x.mean(1)
    # not the sum divided, which paddle.inference does in place where the sum itself is wanted too
    share = mask.astype(x.dtype)
    share = share / share.sum(1, keepdim=True).clip(min=1.0)  # (videos, frames)
    return (share.unsqueeze(1) @ x).squeeze(1)


class FramePool(Layer):
    settings: pooling.FramePool

    def forward(self, x: Tensor, call: Call) -> Tensor:
        pooled = [pool(kind, wide(x), call.mask) for kind in self.settings.pooling]  # of (videos, features)
        return paddle.concat([l2_normalize(y) for y in pooled] if self.settings.normalize else pooled, 1).astype(
            x.dtype
        )


class GatedBag(Layer):
    settings: pooling.GatedBag

    def forward(self, x: Tensor, call: Call) -> Tensor:
        largest = l2_normalize(pool("max", wide(x), call.mask))  # (videos, clusters)
        g = linear(largest, self.squeeze.weight, low=self.low)
        g = linear(g, self.excite.weight, low=self.low)
        g = F.sigmoid(batch_norm(self, self.norm, self.settings.norm, g, call))
        call.recorded[f"{self.path}.gates"] = g
        return l2_normalize(g * pool("sum", wide(x), call.mask)).astype(x.dtype)  # (videos, clusters)


def over_bags(layer: Layer, x: Tensor, call: Call) -> Tensor:
    """The layer's vectors of each video's bags, averaged over the bags that have a valid frame."""
    mask, bag, features = call.mask, layer.bag, x.shape[-1]
    videos, frames = x.shape[:2] if paddle.in_dynamic_mode() else paddle.shape(x)[:2].unbind()
    valid = paddle.ones([videos, frames], x.dtype) if mask is None else mask.astype(x.dtype)
    if bag > 1:
        end = (frames + bag - 1) // bag * bag
        x = paddle.concat([x, paddle.zeros([videos, bag - 1, features], x.dtype)], 1)[:, :end]
        valid = paddle.concat([valid, paddle.zeros([videos, bag - 1], x.dtype)], 1)[:, :end]
    call.mask = valid.reshape([-1, bag]) > 0
    held = call.mask.any(1)
    y = layer(x.reshape([-1, bag, features]), call)
    call.mask = mask
    return pool("mean", wide(y).reshape([videos, -1, y.shape[-1]]), held.reshape([videos, -1])).astype(y.dtype)
