"""Aggregation by clusters in MindSpore. Formulas and settings are those of acz.model.layers.vlad; so are parameter names and layouts."""

from __future__ import annotations

from mindspore import Tensor, ops

from acz.model.layers import vlad
from acz.model.layers.vlad import LEAST_SPREAD
from acz_mindspore.base import Call, Layer, as_type, batch_norm, l2_normalize, linear, number, sigmoid


def shares(s: Tensor) -> Tensor:
    """Softmax over the last axis, exact relative to each share: a cluster is normalised on its own, however small its shares are.

    exp(s) = 1 / (expm1(-s) + 1), since MindSpore's exp in float32 is 5e-6 off on a CPU.
    """
    below = ops.minimum(ops.stop_gradient(s.max(-1, keepdims=True)) - s, number(87.0, s))  # beyond, exp overflows
    e = ops.reciprocal(ops.expm1(below) + 1.0)
    return e / e.sum(-1, keepdims=True)


class SoftAssignment(Layer):
    settings: vlad.SoftAssignment


def assign(layer: SoftAssignment, x: Tensor, call: Call) -> Tensor:
    """Shares of the frames, (videos, frames, clusters)."""
    videos, frames, _ = x.shape
    norm, clusters = layer.settings.norm, layer.settings.clusters
    s = linear(layer, x, layer.assignment.weight, None if norm else layer.assignment.bias)
    a = shares(batch_norm(layer, layer.norm, norm, s, call) if norm else s)
    if call[0] is not None:
        a = a * ops.tile(call[0].reshape((videos, frames, 1)).astype(x.dtype), (1, 1, clusters))
    return a


def sums(layer: Layer, x: Tensor, a: Tensor) -> Tensor:
    """Sums of the frames by their shares, (videos, features, clusters), as `pooled`."""
    if layer.low is not None:
        return layer.low(ops.BatchMatMul(transpose_a=True), x, a)
    return as_type(ops.BatchMatMul(transpose_a=True)(x, a), x.dtype)


def of_clusters(v: Tensor) -> Tensor:
    """L2-normalised for each cluster, then as a whole. The second length follows from the first ones: v is scaled once."""
    least = number(1e-12, v)
    squares = (v * v).sum(1)  # (videos, clusters)
    scale = ops.rsqrt(ops.maximum(squares, least))
    whole = (squares * scale * scale).sum(1, keepdims=True)
    scale = scale * ops.tile(ops.rsqrt(ops.maximum(whole, least)), (1, v.shape[2]))
    return (v * ops.tile(scale.expand_dims(1), (1, v.shape[1], 1))).flatten(
        start_dim=1
    )  # (videos, features * clusters)


def each(value: Tensor, x: Tensor) -> Tensor:
    """(features, clusters) for each video of x, in its type: MindSpore is slow where it broadcasts."""
    return ops.tile(as_type(value, x.dtype).expand_dims(0), (x.shape[0], 1, 1))


class NetVLAD(SoftAssignment):
    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        a = assign(self, x, call)
        total = ops.tile(a.sum(1, keepdims=True), (1, x.shape[2], 1))  # (videos, features, clusters)
        v = sums(self, x, a)
        return a, of_clusters(v - each(self.centres, x) * total)


class LightVLAD(SoftAssignment):
    settings: vlad.LightVLAD

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        a = assign(self, x, call)
        v = sums(self, x, a)
        return a, of_clusters(v * each(sigmoid(as_type(self.gates, x.dtype)), x) if self.settings.gated else v)


class NetFV(SoftAssignment):
    settings: vlad.NetFV

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        coupling = self.settings.coupling
        a = assign(self, x, call)
        c = each(self.centres if coupling is None else self.assignment.weight * number(coupling, x), x)
        spread = as_type(self.spread, x.dtype)
        precision = each(ops.reciprocal(spread * spread + number(LEAST_SPREAD, x)), x)
        total = ops.tile(a.sum(1, keepdims=True), (1, x.shape[2], 1))  # (videos, features, clusters)
        ax, axx = sums(self, x, a), sums(self, x * x, a)
        residual = ax - c * total
        second = (axx - c * (ax + residual)) * precision * precision - total
        return a, ops.cat((of_clusters(residual * precision), l2_normalize(second.flatten(start_dim=1))), 1)


class NeXtVLAD(Layer):
    settings: vlad.NeXtVLAD

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor, Tensor]:
        videos, frames, _ = x.shape
        groups, clusters, size = self.settings.groups, self.settings.clusters, self.centres.shape[0]
        x = linear(self, x, self.expansion.weight, self.expansion.bias)  # (videos, frames, E)
        alpha = sigmoid(linear(self, x, self.attention.weight, self.attention.bias))
        if call[0] is not None:
            alpha = alpha * ops.tile(call[0].reshape((videos, frames, 1)).astype(x.dtype), (1, 1, groups))
        s = batch_norm(self, self.norm, self.settings.norm, linear(self, x, self.assignment.weight, None), call)
        a = shares(s.reshape((-1, clusters))) * ops.tile(alpha.reshape((-1, 1)), (1, clusters))
        a = a.reshape((videos, frames * groups, clusters))
        x = x.reshape((videos, frames * groups, size))  # (videos, frames * groups, E / groups)
        total = ops.tile(a.sum(1, keepdims=True), (1, size, 1))  # (videos, E / groups, clusters)
        v = sums(self, x, a) - each(self.centres, x) * total
        scale = ops.rsqrt(ops.maximum((v * v).sum(1), number(1e-12, v)))  # (videos, clusters)
        v = v * ops.tile(scale.expand_dims(1), (1, size, 1))
        return alpha, a.reshape((videos, frames, groups * clusters)), v.flatten(start_dim=1)
