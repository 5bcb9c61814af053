"""Pooling over frames, and bags of frames, in JAX. Formulas and settings are those of acz.model.layers.pooling and acz.model.layers.bags."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array as Tensor
from jax import lax

from acz.model.layers import pooling
from acz.model.layers.attention import LOWEST
from acz_jax.base import Call, Layer, Tensors, at_least, batch_norm, l2_normalize, largest, linear, matmul


def pool(kind: str, x: Tensor, mask: Tensor | None) -> Tensor:
    """One number for each feature, of the valid frames of each video."""
    if kind == "max":
        if mask is None:
            return largest(x)
        return jnp.where(mask.any(1)[:, None], largest(jnp.where(mask[:, :, None], x, LOWEST)), 0.0)
    if kind == "sum":
        return x.sum(1) if mask is None else matmul(mask[:, None].astype(x.dtype), x)[:, 0]
    if kind == "l2_norm":
        s = pool("sum", x * x, mask)
        return s * lax.rsqrt(at_least(s, 1e-12))
    count = x.shape[1] if mask is None else at_least(mask.sum(1, keepdims=True).astype(x.dtype), 1.0)
    mean = pool("sum", x, mask) / count
    return mean if kind == "mean" else pool("sum", jnp.square(x - mean[:, None]), mask) / count


class FramePool(Layer):
    settings: pooling.FramePool

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        pooled = [pool(kind, x, call.mask) for kind in self.settings.pooling]  # of (videos, features)
        return jnp.concatenate([l2_normalize(y) for y in pooled] if self.settings.normalize else pooled, 1)


class GatedBag(Layer):
    settings: pooling.GatedBag

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        most = l2_normalize(pool("max", x, call.mask))  # (videos, clusters)
        g = linear(linear(most, p["squeeze.weight"]), p["excite.weight"])
        g = jax.nn.sigmoid(batch_norm(self, p, self.settings.norm, g, call, "norm."))
        call.recorded[f"{self.path}.gates"] = g
        return l2_normalize(g * pool("sum", x, call.mask))  # (videos, clusters)


def over_bags(layer: Layer, p: Tensors, x: Tensor, call: Call) -> Tensor:
    """The layer's vectors of each video's bags, averaged over the bags that have a valid frame."""
    mask, bag, (videos, frames, features) = call.mask, layer.bag, x.shape
    bags = (frames + bag - 1) // bag
    valid = jnp.ones((videos, frames), bool) if mask is None else mask
    if bag > 1:
        x = jnp.concatenate([x, jnp.zeros((videos, bag - 1, features), x.dtype)], 1)[:, : bags * bag]
        valid = jnp.concatenate([valid, jnp.zeros((videos, bag - 1), bool)], 1)[:, : bags * bag]
    call.mask = valid.reshape(videos * bags, bag)
    y = layer(p, x.reshape(videos * bags, bag, features), call)
    held, call.mask = call.mask.any(1).reshape(videos, bags), mask
    return pool("mean", y.reshape(videos, bags, y.shape[-1]), held)
