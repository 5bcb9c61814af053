"""Circulant products in PaddlePaddle, by Fourier transforms and by the explicit matrix."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor
from paddle.autograd import PyLayer
from paddle.fft import fft, ifft, irfft, rfft

from acz.model.layers.circulant import CirculantDense as Settings
from acz.model.layers.circulant import CirculantProduct
from acz_paddle import INFO
from acz_paddle.base import Call, Layer, apply, linear, wide

FFT_COST = INFO.fft_cost


class Correlation(PyLayer):
    """y_i = sum_j x_j w_{(j - i) mod n} by real Fourier transforms: x (..., blocks or 1, n), w (blocks, n), y (..., blocks, n).

    With a gradient of its own, of as many transforms as the forward pass: PaddlePaddle's takes twice the time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        spectrum, spectrum_of_w = rfft(x), rfft(w)
        ctx.save_for_backward(spectrum, spectrum_of_w)
        ctx.input_needs_it = not x.stop_gradient
        return irfft(spectrum * spectrum_of_w.conj(), n=x.shape[-1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        spectrum, spectrum_of_w = ctx.saved_tensor()
        n, change, of_x = gradient.shape[-1], rfft(gradient), None
        if ctx.input_needs_it:
            product = change * spectrum_of_w
            shared = spectrum.shape[-2] < product.shape[-2]  # one x for all blocks
            of_x = irfft(product.sum(-2, keepdim=True) if shared else product, n=n)
        return of_x, irfft((change.conj() * spectrum).flatten(0, -3).sum(0), n=n)


@paddle.jit.marker.unified(for_ast=False)  # where bytecode is traced, this is one operation
def correlate(x: Tensor, w: Tensor) -> Tensor:
    """As Correlation. In a program the gradient is PaddlePaddle's: a PyLayer gets no complex numbers back there."""
    if paddle.in_dynamic_mode():
        return Correlation.apply(x, w)
    if w.shape[-1] < 0:  # traced bytecode may not know it, and irfft wants a number
        return ifft(fft(x) * fft(w).conj()).real()
    return irfft(rfft(x) * rfft(w).conj(), n=w.shape[-1])


def circulant(w: Tensor, rows: int) -> Tensor:
    """The first rows of each block's matrix, [b, i, j] = w[b, (j - i) mod n]: w (blocks, n) to (blocks, rows, n).

    Copies of w, one after the other, cut into rows that are one shorter than two copies: each begins a number later than
    the one above. So nothing is gathered, and the gradient is a sum of rows.
    """
    blocks, n = w.shape
    length = 2 * n - 1
    copies = w.tile([1, -(-rows * length // n)])[:, : rows * length]
    return copies.reshape([blocks, rows, length])[:, :, :n]


def explicit(home: Any, settings: CirculantProduct, units: int) -> Tensor:
    """The matrix (units, features) of the whole product: y = matrix x. `home` holds weight and diagonal."""
    weight, n = wide(home.weight), home.weight.shape[-1]
    whole: Tensor = None
    for factor in reversed(range(settings.factors)):
        rows = n if whole is not None else min(units, n)
        matrix = circulant(weight[factor], rows)
        if settings.diagonal == "learned":
            matrix = matrix * wide(home.diagonal)[factor].unsqueeze(1)
        if settings.diagonal == "fixed":
            matrix = matrix * wide(home.diagonal)[factor].roll(1, -1)[:, :rows].unsqueeze(2)
        whole = matrix if whole is None else whole @ matrix
    return whole.flatten(0, 1)[:units]


def product(home: Any, settings: CirculantProduct, x: Tensor, units: int) -> Tensor:
    """x (videos, ..., features) to (videos, ..., units); `home` holds weight and diagonal."""
    if settings.algorithm(x.shape[-1], units, FFT_COST) == "dense":
        return linear(x, explicit(home, settings, units).t())
    y = wide(x).unsqueeze(-2)  # (videos, ..., 1, features): every block has the same input
    for factor in range(settings.factors):
        if settings.diagonal == "learned":
            y = y * wide(home.diagonal)[factor]
        y = correlate(y, wide(home.weight)[factor])  # (videos, ..., blocks, features)
        if settings.diagonal == "fixed":
            y = y * wide(home.diagonal)[factor].roll(1, -1)
    return y.flatten(-2)[..., :units].astype(x.dtype)


class CirculantDense(Layer):
    settings: Settings

    def forward(self, x: Tensor, call: Call) -> Tensor:
        y = product(self, self.settings, x, self.settings.units)
        return apply(self.settings.activation, y + self.bias.astype(y.dtype) if self.settings.bias else y)
