"""Aggregation by clusters in PaddlePaddle. Formulas and settings are those of acz.model.layers.vlad; so are parameter names and layouts."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from acz.model.layers import vlad
from acz.model.layers.vlad import LEAST_SPREAD
from acz_paddle.base import Call, Layer, batch_norm, l2_normalize, linear, rsqrt, wide
from acz_paddle.products import product


class SoftAssignment(Layer):
    settings: vlad.SoftAssignment


def assign(layer: SoftAssignment, x: Tensor, call: Call) -> Tensor:
    """Shares of the frames, (videos, frames, clusters)."""
    norm = layer.settings.norm
    s = linear(x, layer.assignment.weight, None if norm else layer.assignment.bias, low=layer.low)
    a = F.softmax(wide(batch_norm(layer, layer.norm, norm, s, call) if norm else s), -1)
    if call.mask is not None:
        a = a * call.mask.unsqueeze(2).astype(a.dtype)
    call.recorded[f"{layer.path}.assignments"] = a
    return a


def summed(layer: Layer, x: Tensor, a: Tensor) -> Tensor:
    """The sum of the frames x for each cluster by the shares a, (videos, features, clusters)."""
    return wide(product(x, a.astype(x.dtype), layer.low, transpose_x=True))


def of_clusters(v: Tensor) -> Tensor:
    """L2-normalised for each cluster, then as a whole. The second length follows from the first ones: v is scaled once."""
    squares = (v * v).sum(1, keepdim=True)  # (videos, 1, clusters)
    scale = rsqrt(squares.clip(min=1e-12))
    scale = scale * rsqrt((squares * scale * scale).sum(2, keepdim=True).clip(min=1e-12))
    return (v * scale).flatten(1)  # (videos, features * clusters)


class NetVLAD(SoftAssignment):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        a = assign(self, x, call)
        total = a.sum(1, keepdim=True)  # (videos, 1, clusters)
        return of_clusters(summed(self, x, a) - wide(self.centres) * total).astype(x.dtype)


class LightVLAD(SoftAssignment):
    settings: vlad.LightVLAD

    def forward(self, x: Tensor, call: Call) -> Tensor:
        v = summed(self, x, assign(self, x, call))
        return of_clusters(v * F.sigmoid(wide(self.gates)) if self.settings.gated else v).astype(x.dtype)


class NetFV(SoftAssignment):
    settings: vlad.NetFV

    def forward(self, x: Tensor, call: Call) -> Tensor:
        coupling = self.settings.coupling
        a = assign(self, x, call)
        c = wide(self.centres) if coupling is None else wide(self.assignment.weight) * coupling
        spread = wide(self.spread)
        precision = 1.0 / (spread * spread + LEAST_SPREAD)
        total = a.sum(1, keepdim=True)  # (videos, 1, clusters)
        ax, axx = summed(self, x, a), summed(self, x * x, a)
        residual = ax - c * total
        second = (axx - c * (ax + residual)) * (precision * precision) - total
        return paddle.concat([of_clusters(residual * precision), l2_normalize(second.flatten(1))], 1).astype(x.dtype)


class NeXtVLAD(Layer):
    settings: vlad.NeXtVLAD

    def forward(self, x: Tensor, call: Call) -> Tensor:
        groups, clusters, size = self.settings.groups, self.settings.clusters, self.centres.shape[0]
        low = self.low
        x = linear(x, self.expansion.weight, self.expansion.bias, low=low)  # (videos, frames, E)
        alpha = F.sigmoid(wide(linear(x, self.attention.weight, self.attention.bias, low=low)))
        if call.mask is not None:
            alpha = alpha * call.mask.unsqueeze(2).astype(alpha.dtype)
        s = linear(x, self.assignment.weight, low=low)
        s = wide(batch_norm(self, self.norm, self.settings.norm, s, call))
        a = F.softmax(s.reshape([0, -1, clusters]), -1) * alpha.reshape(
            [0, -1, 1]
        )  # (videos, frames * groups, clusters)
        call.recorded[f"{self.path}.attention"] = alpha
        call.recorded[f"{self.path}.assignments"] = a.reshape([0, -1, groups * clusters])
        x = x.reshape([0, -1, size])  # (videos, frames * groups, E / groups)
        total = a.sum(1, keepdim=True)  # (videos, 1, clusters)
        v = summed(self, x, a) - wide(self.centres) * total  # (videos, E / groups, clusters)
        return (v * rsqrt((v * v).sum(1, keepdim=True).clip(min=1e-12))).flatten(1).astype(x.dtype)
