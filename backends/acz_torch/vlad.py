"""Aggregation by clusters in PyTorch. Formulas and settings are those of acz.model.layers.vlad; so are parameter names and layouts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from acz.model.layers import vlad
from acz.model.layers.vlad import LEAST_SPREAD
from acz_torch.base import Call, Layer, in_float32, sigmoid, to_unit_length
from acz_torch.products import product

CACHED = 2**19
"""Numbers that stay in a core's cache from one pass to the next: 2 MiB of float32."""


def by_videos(aggregate: Callable[[Tensor, Tensor], Tensor], size: int, x: Tensor, a: Tensor) -> Tensor:
    """`aggregate` of frames and their shares. On a CPU it takes a few videos at a time, as many as stay in its cache if one's
    clusters are `size` numbers: forward and backward are many passes over little arithmetic."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return aggregate(x, a)
    count = max(1, CACHED // size)
    if len(x) <= count:
        return aggregate(x, a)
    return torch.cat([aggregate(*few) for few in zip(x.split(count), a.split(count), strict=True)])


class SoftAssignment(Layer):
    settings: vlad.SoftAssignment


def assign(layer: SoftAssignment, x: Tensor, call: Call) -> Tensor:
    """Shares of the frames, (videos, frames, clusters)."""
    s = layer.assignment(x)
    a = torch.softmax(layer.norm(s, call) if layer.settings.norm else s, -1)
    if call.mask is not None:
        a = a * call.mask[:, :, None]
    call.recorded[f"{layer.path}.assignments"] = a
    return a


def held_by(x: Tensor, a: Tensor) -> torch.dtype:
    """The type that gradients of frames or of their shares are rounded to: float16 where one of the two is."""
    return a.dtype if a.dtype == torch.float16 else x.dtype


def of_clusters(v: Tensor, held: torch.dtype) -> Tensor:
    """L2-normalised for each cluster, then as a whole. The second length follows from the first ones: v is scaled once.

    Args:
        held: the type that the gradient is rounded to, as in `to_unit_length`.
    """
    squares = (v * v).sum(1, keepdim=True)  # (videos, 1, clusters)
    scale = torch.rsqrt(squares.clamp_min(1e-12))
    scale = scale * torch.rsqrt((squares * scale * scale).sum(2, keepdim=True).clamp_min(1e-12))
    y = v * scale
    if held == torch.float16:
        y = torch.where(squares < 1e-12, y.detach(), y)
    return y.flatten(1)  # (videos, features * clusters)


class NetVLAD(SoftAssignment):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        shares = assign(self, x, call)
        held = held_by(x, shares)

        def residuals(x: Tensor, a: Tensor, centres: Tensor) -> Tensor:
            def aggregate(x: Tensor, a: Tensor) -> Tensor:
                total = a.sum(1, keepdim=True)  # (videos, 1, clusters)
                v = product(x.transpose(1, 2), a, self.low)
                return of_clusters(torch.addcmul(v, centres, total, value=-1), held)

            return by_videos(aggregate, centres.numel(), x, a)

        return in_float32(residuals, x, shares, self.centres)


class LightVLAD(SoftAssignment):
    settings: vlad.LightVLAD

    def forward(self, x: Tensor, call: Call) -> Tensor:
        shares = assign(self, x, call)
        held = held_by(x, shares)

        def sums(x: Tensor, a: Tensor, *gates: Tensor) -> Tensor:
            factors = [sigmoid(g) for g in gates]

            def aggregate(x: Tensor, a: Tensor) -> Tensor:
                v = product(x.transpose(1, 2), a, self.low)
                return of_clusters(v * factors[0] if factors else v, held)

            return by_videos(aggregate, x.shape[-1] * a.shape[-1], x, a)

        return in_float32(sums, x, shares, *([self.gates] if self.settings.gated else []))


class NetFV(SoftAssignment):
    settings: vlad.NetFV

    def forward(self, x: Tensor, call: Call) -> Tensor:
        coupling, shares = self.settings.coupling, assign(self, x, call)
        held = held_by(x, shares)

        def vectors(x: Tensor, a: Tensor, centres: Tensor, spread: Tensor) -> Tensor:
            c = centres if coupling is None else centres * coupling
            precision = 1.0 / (spread * spread + LEAST_SPREAD)
            squared = precision * precision

            def aggregate(x: Tensor, a: Tensor) -> Tensor:
                total = a.sum(1, keepdim=True)  # (videos, 1, clusters)
                ax, axx = (product(y.transpose(1, 2), a, self.low) for y in (x, x * x))  # (videos, features, clusters)
                residual = torch.addcmul(ax, c, total, value=-1)
                second = torch.addcmul(-total, torch.addcmul(axx, c, ax + residual, value=-1), squared)
                return torch.cat(
                    [of_clusters(residual * precision, held), to_unit_length(second.flatten(1), -1, held)], 1
                )

            return by_videos(aggregate, c.numel(), x, a)

        centres = self.centres if coupling is None else self.assignment.weight
        return in_float32(vectors, x, shares, centres, self.spread)


class NeXtVLAD(Layer):
    settings: vlad.NeXtVLAD

    def forward(self, x: Tensor, call: Call) -> Tensor:
        groups, clusters = self.settings.groups, self.settings.clusters
        x = self.expansion(x)  # (videos, frames, E)
        alpha = sigmoid(self.attention(x))
        if call.mask is not None:
            alpha = alpha * call.mask[:, :, None]
        s = self.norm(self.assignment(x), call)
        a = torch.softmax(s.unflatten(2, (groups, clusters)), -1) * alpha[:, :, :, None]
        call.recorded[f"{self.path}.attention"] = alpha
        call.recorded[f"{self.path}.assignments"] = a.flatten(2)

        def residuals(x: Tensor, a: Tensor, centres: Tensor) -> Tensor:
            def aggregate(x: Tensor, a: Tensor) -> Tensor:
                total = a.sum(1, keepdim=True)  # (videos, 1, clusters)
                v = product(x.transpose(1, 2), a, self.low)
                v = torch.addcmul(v, centres, total, value=-1)  # (videos, E / groups, clusters)
                return to_unit_length(v, 1, held).flatten(1)

            return by_videos(aggregate, centres.numel(), x, a)

        held = x.dtype
        x = x.unflatten(2, (groups, x.shape[2] // groups)).flatten(1, 2)  # (videos, frames * groups, E / groups)
        return in_float32(residuals, x, a.flatten(1, 2), self.centres)
