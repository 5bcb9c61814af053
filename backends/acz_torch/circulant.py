"""Circulant products in PyTorch, by Fourier transforms and by the explicit matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from acz.model.layers.circulant import CirculantDense as Settings
from acz.model.layers.circulant import CirculantProduct
from acz_torch import INFO
from acz_torch.base import Call, Layer, apply, in_float32, linear

FFT_COST = INFO.fft_cost


class Correlation(torch.autograd.Function):
    """y_i = sum_j x_j w_{(j - i) mod n} by real Fourier transforms: x (..., blocks or 1, n), w (blocks, n), y (..., blocks, n).

    With a gradient of its own, of as many transforms as the forward pass: PyTorch's takes twice the time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        spectrum, spectrum_of_w = torch.fft.rfft(x), torch.fft.rfft(w)
        ctx.save_for_backward(spectrum, spectrum_of_w)
        return torch.fft.irfft(spectrum * spectrum_of_w.conj(), n=x.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        spectrum, spectrum_of_w = ctx.saved_tensors
        n, change, of_x = gradient.shape[-1], torch.fft.rfft(gradient), None
        if ctx.needs_input_grad[0]:
            product = change * spectrum_of_w
            shared = spectrum.shape[-2] < product.shape[-2]  # one x for all blocks
            of_x = torch.fft.irfft(product.sum(-2, keepdim=True) if shared else product, n=n)
        return of_x, torch.fft.irfft((change.conj() * spectrum).flatten(0, -3).sum(0), n=n)


def circulant(w: Tensor, rows: int) -> Tensor:
    """The first rows of each block's matrix, [b, i, j] = w[b, (j - i) mod n]: w (blocks, n) to (blocks, rows, n).

    Copies of w, one after the other, cut into rows that are one shorter than two copies: each begins a number later than
    the one above. So nothing is gathered, and the gradient is a sum of rows.
    """
    n = w.shape[-1]
    length = 2 * n - 1
    copies = w.repeat(1, -(-rows * length // n))[:, : rows * length]
    return copies.unflatten(1, (rows, length))[:, :, :n]


def explicit(home: Any, settings: CirculantProduct, units: int) -> Tensor:
    """The matrix (units, features) of the whole product: y = matrix x. `home` holds weight and diagonal."""
    n = home.weight.shape[-1]
    whole: Tensor = None
    for factor in reversed(range(settings.factors)):
        rows = n if whole is not None else min(units, n)
        matrix = circulant(home.weight[factor], rows)
        if settings.diagonal == "learned":
            matrix = matrix * home.diagonal[factor][:, None]
        if settings.diagonal == "fixed":
            matrix = matrix * home.diagonal[factor].roll(1, -1)[:, :rows, None]
        whole = matrix if whole is None else whole @ matrix
    return whole.flatten(0, 1)[:units]


def product(home: Any, settings: CirculantProduct, x: Tensor, units: int) -> Tensor:
    """x (videos, ..., features) to (videos, ..., units); `home` holds weight and diagonal."""
    if settings.algorithm(x.shape[-1], units, FFT_COST) == "dense":
        return linear(x, explicit(home, settings, units).t())

    def by_transforms(x: Tensor, weight: Tensor, *diagonal: Tensor) -> Tensor:
        y = x.unsqueeze(-2)  # (videos, ..., 1, features): every block has the same input
        for factor in range(settings.factors):
            if settings.diagonal == "learned":
                y = y * diagonal[0][factor]
            y = Correlation.apply(y, weight[factor])  # (videos, ..., blocks, features)
            if settings.diagonal == "fixed":
                y = y * diagonal[0][factor].roll(1, -1)
        return y.flatten(-2)[..., :units]

    return in_float32(by_transforms, x, home.weight, *([home.diagonal] if settings.diagonal != "none" else []))


class CirculantDense(Layer):
    settings: Settings

    def forward(self, x: Tensor, call: Call) -> Tensor:
        y = product(self, self.settings, x, self.settings.units)
        return apply(self.settings.activation, y + self.bias if self.settings.bias else y)
