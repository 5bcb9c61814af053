"""Aggregation by clusters in PaddlePaddle. Formulas and settings are those of acz.model.layers.vlad; so are parameter names and layouts."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from acz.model.layers import vlad
from acz.model.layers.vlad import LEAST_SPREAD
from acz_paddle.base import Call, Layer, batch_norm, l2_normalize, rsqrt


class SoftAssignment(Layer):
    settings: vlad.SoftAssignment


def assign(layer: SoftAssignment, x: Tensor, call: Call) -> Tensor:
    """Shares of the frames, (videos, frames, clusters)."""
    norm = layer.settings.norm
    s = F.linear(x, layer.assignment.weight, None if norm else layer.assignment.bias)
    a = F.softmax(batch_norm(layer, layer.norm, norm, s, call) if norm else s, -1)
    if call.mask is not None:
        a = a * call.mask.unsqueeze(2).astype(a.dtype)
    call.recorded[f"{layer.path}.assignments"] = a
    return a


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
        return of_clusters(paddle.matmul(x, a, transpose_x=True) - self.centres * total)


class LightVLAD(SoftAssignment):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return of_clusters(paddle.matmul(x, assign(self, x, call), transpose_x=True))


class NetFV(SoftAssignment):
    settings: vlad.NetFV

    def forward(self, x: Tensor, call: Call) -> Tensor:
        coupling = self.settings.coupling
        a = assign(self, x, call)
        c = self.centres if coupling is None else self.assignment.weight * coupling
        precision = 1.0 / (self.spread * self.spread + LEAST_SPREAD)
        total = a.sum(1, keepdim=True)  # (videos, 1, clusters)
        ax = paddle.matmul(x, a, transpose_x=True)  # (videos, features, clusters)
        axx = paddle.matmul(x * x, a, transpose_x=True)
        residual = ax - c * total
        second = (axx - c * (ax + residual)) * (precision * precision) - total
        return paddle.concat([of_clusters(residual * precision), l2_normalize(second.flatten(1))], 1)
