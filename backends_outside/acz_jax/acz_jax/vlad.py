"""Aggregation by clusters in JAX. Formulas and settings are those of acz.model.layers.vlad; so are parameter names and layouts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array as Tensor
from jax import lax

from acz.model.layers import vlad
from acz.model.layers.vlad import LEAST_SPREAD
from acz_jax.base import Call, Layer, Tensors, at_least, batch_norm, l2_normalize, linear, matmul


class SoftAssignment(Layer):
    settings: vlad.SoftAssignment


def assign(layer: SoftAssignment, p: Tensors, x: Tensor, call: Call) -> Tensor:
    """Shares of the frames, (videos, frames, clusters)."""
    norm = layer.settings.norm
    s = linear(x, p["assignment.weight"], p.get("assignment.bias"))
    a = jax.nn.softmax(batch_norm(layer, p, norm, s, call, "norm.") if norm else s, -1)
    if call.mask is not None:
        a = a * call.mask[:, :, None]
    call.recorded[f"{layer.path}.assignments"] = a
    return a


def summed(x: Tensor, a: Tensor) -> Tensor:
    """The sum of the frames x for each cluster by the shares a, (videos, features, clusters)."""
    return matmul(x.swapaxes(1, 2), a)


def of_clusters(v: Tensor) -> Tensor:
    """L2-normalised for each cluster, then as a whole. The second length follows from the first ones: v is scaled once."""
    squares = (v * v).sum(1, keepdims=True)  # (videos, 1, clusters)
    scale = lax.rsqrt(at_least(squares, 1e-12))
    scale = scale * lax.rsqrt(at_least((squares * scale * scale).sum(2, keepdims=True), 1e-12))
    return (v * scale).reshape(v.shape[0], v.shape[1] * v.shape[2])  # (videos, features * clusters)


class NetVLAD(SoftAssignment):
    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        a = assign(self, p, x, call)
        return of_clusters(summed(x, a) - p["centres"] * a.sum(1, keepdims=True))


class LightVLAD(SoftAssignment):
    settings: vlad.LightVLAD

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        v = summed(x, assign(self, p, x, call))
        return of_clusters(v * jax.nn.sigmoid(p["gates"]) if self.settings.gated else v)


class NetFV(SoftAssignment):
    settings: vlad.NetFV

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        coupling = self.settings.coupling
        a = assign(self, p, x, call)
        c = p["centres"] if coupling is None else p["assignment.weight"] * coupling
        sigma = p["spread"] * p["spread"] + LEAST_SPREAD
        total = a.sum(1, keepdims=True)  # (videos, 1, clusters)
        ax, axx = summed(x, a), summed(x * x, a)
        residual = ax - c * total
        second = (axx - c * (ax + residual)) / (sigma * sigma) - total
        second = l2_normalize(second.reshape(second.shape[0], second.shape[1] * second.shape[2]))
        return jnp.concatenate([of_clusters(residual / sigma), second], 1)


class NeXtVLAD(Layer):
    settings: vlad.NeXtVLAD

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        groups, clusters, (videos, frames, _) = self.settings.groups, self.settings.clusters, x.shape
        x = linear(x, p["expansion.weight"], p["expansion.bias"])  # (videos, frames, E)
        alpha = jax.nn.sigmoid(linear(x, p["attention.weight"], p["attention.bias"]))
        if call.mask is not None:
            alpha = alpha * call.mask[:, :, None]
        s = batch_norm(self, p, self.settings.norm, linear(x, p["assignment.weight"]), call, "norm.")
        a = jax.nn.softmax(s.reshape(videos, frames, groups, clusters), -1) * alpha[:, :, :, None]
        call.recorded[f"{self.path}.attention"] = alpha
        call.recorded[f"{self.path}.assignments"] = a.reshape(videos, frames, groups * clusters)
        a = a.reshape(videos, frames * groups, clusters)
        x = x.reshape(videos, frames * groups, x.shape[2] // groups)  # (videos, frames * groups, E / groups)
        v = summed(x, a) - p["centres"] * a.sum(1, keepdims=True)  # (videos, E / groups, clusters)
        v = v * lax.rsqrt(at_least((v * v).sum(1, keepdims=True), 1e-12))
        return v.reshape(videos, v.shape[1] * clusters)
