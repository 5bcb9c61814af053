"""Pooling over frames, and bags of frames, in MindSpore. Formulas and settings are those of acz.model.layers.pooling and acz.model.layers.bags."""

from __future__ import annotations

from mindspore import Tensor, ops

from acz.model.layers import pooling
from acz.model.layers.attention import LOWEST
from acz_mindspore.base import Call, Layer, batch_norm, l2_normalize, linear, number, pooled, sigmoid


def pool(kind: str, x: Tensor, mask: Tensor | None) -> Tensor:
    """One number for each feature, of the valid frames of each video."""
    videos, frames, features = x.shape
    if kind == "max":
        if mask is None:
            return ops.amax(x, 1)
        valid = ops.tile(mask.reshape((videos, frames, 1)).astype(x.dtype), (1, 1, features))
        some = ops.minimum(valid.sum(1), 1.0)  # (videos, features)
        return ops.amax(x * valid + (1.0 - valid) * LOWEST, 1) * some
    if kind == "sum":
        if mask is None:
            return x.sum(1)
        return pooled(mask.reshape((videos, 1, frames)).astype(x.dtype), x).reshape((videos, features))
    if kind == "l2_norm":
        s = pool("sum", x * x, mask)
        return s * ops.rsqrt(ops.maximum(s, number(1e-12, x)))
    valid = ops.ones((videos, frames), x.dtype) if mask is None else mask.astype(x.dtype)
    count = ops.tile(ops.maximum(valid.sum(-1, keepdims=True), 1.0), (1, features))
    mean = pool("sum", x, mask) / count
    if kind == "mean":
        return mean
    return pool("sum", ops.square(x - ops.tile(mean.reshape((videos, 1, features)), (1, frames, 1))), mask) / count


class FramePool(Layer):
    settings: pooling.FramePool

    def construct(self, x: Tensor, call: Call) -> Tensor:
        found = []
        for kind in self.settings.pooling:
            y = pool(kind, x, call[0])  # (videos, features)
            found.append(l2_normalize(y) if self.settings.normalize else y)
        return ops.cat(found, 1) if len(found) > 1 else found[0]


class GatedBag(Layer):
    settings: pooling.GatedBag

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        largest = l2_normalize(pool("max", x, call[0]))  # (videos, clusters)
        g = linear(self, linear(self, largest, self.squeeze.weight, None), self.excite.weight, None)
        g = sigmoid(batch_norm(self, self.norm, self.settings.norm, g, call))
        return g, l2_normalize(g * pool("sum", x, call[0]))  # (videos, clusters)


def over_bags(layer: Layer, x: Tensor, call: Call) -> tuple[Tensor, ...]:
    """The layer's vectors of each video's bags, averaged over the bags that have a valid frame; inner values, by bag, before it."""
    bag, (videos, frames, features) = layer.bag, x.shape
    valid = ops.ones((videos, frames), x.dtype) if call[0] is None else call[0].astype(x.dtype)
    end = (frames + bag - 1) // bag * bag
    if bag > 1:
        x = ops.cat((x, ops.zeros((videos, bag - 1, features), x.dtype)), 1)[:, :end]
        valid = ops.cat((valid, ops.zeros((videos, bag - 1), x.dtype)), 1)[:, :end]
    valid = valid.reshape((-1, bag))
    found = layer(x.reshape((-1, bag, features)), (valid > 0.0, call[1], call[2]))
    found = found if isinstance(found, tuple) else (found,)
    y = found[-1].reshape((videos, -1, found[-1].shape[-1]))  # (videos, bags, features of the layer)
    return (*found[:-1], pool("mean", y, (valid.sum(-1) > 0.0).reshape((videos, -1))))
