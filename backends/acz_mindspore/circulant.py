"""Circulant products in MindSpore, by Fourier transforms and by the explicit matrix."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, ops

from acz.model.layers.circulant import CirculantDense as Settings
from acz.model.layers.circulant import CirculantProduct
from acz_mindspore import INFO
from acz_mindspore.base import Call, Layer, apply, as_type

FFT_COST = INFO.fft_cost


def correlation(x: Tensor, w: Tensor) -> Tensor:
    """y_i = sum_j x_j w_{(j - i) mod n} by real Fourier transforms: x (rows, blocks or 1, n), w (blocks, n), y (rows, blocks, n).

    The product of the spectra is written with real numbers, since MindSpore has no gradient of a complex one. Not as a cell with
    a `bprop` of its own: that keeps w until the optimiser has moved it, and the copy of it is rounded to float32.
    """
    spectrum, spectrum_of_w = ops.rfft(x), ops.rfft(w)
    a, b, c, d = ops.real(spectrum), ops.imag(spectrum), ops.real(spectrum_of_w), ops.imag(spectrum_of_w)
    return ops.irfft(ops.Complex()(a * c + b * d, b * c - a * d), x.shape[-1])


def circulant(w: Tensor, rows: int) -> Tensor:
    """The first rows of each block's matrix, [b, i, j] = w[b, (j - i) mod n]: w (blocks, n) to (blocks, rows, n).

    Copies of w, one after the other, cut into rows that are one shorter than two copies: each begins a number later than
    the one above. So nothing is gathered, and the gradient is a sum of rows.
    """
    blocks, n = w.shape
    length = 2 * n - 1
    copies = ops.tile(w, (1, -(-rows * length // n)))[:, : rows * length]
    return copies.reshape((blocks, rows, length))[:, :, :n]


def rolled(d: Tensor) -> Tensor:
    """d (blocks, n) one place further on; MindSpore has no roll on a CPU."""
    return ops.cat((d[:, -1:], d[:, :-1]), 1)


def explicit(weight: Tensor, diagonal: Tensor, settings: CirculantProduct, units: int) -> Tensor:
    """The matrix (units, features) of the whole product: y = matrix x."""
    n = weight.shape[-1]
    whole: Tensor = None
    for factor in range(settings.factors - 1, -1, -1):
        rows = n if whole is not None else min(units, n)
        matrix = circulant(weight[factor], rows)
        if settings.diagonal == "learned":
            matrix = matrix * ops.tile(diagonal[factor].expand_dims(1), (1, rows, 1))
        if settings.diagonal == "fixed":
            matrix = matrix * ops.tile(rolled(diagonal[factor])[:, :rows].expand_dims(2), (1, 1, n))
        whole = matrix if whole is None else as_type(ops.BatchMatMul()(whole, matrix), weight.dtype)
    return whole.reshape((-1, n))[:units]


def circulant_product(layer: Layer, home: Any, settings: CirculantProduct, x: Tensor, units: int) -> Tensor:
    """x (videos, ..., features) to (videos, ..., units); `home` holds weight and diagonal. Fourier transforms know no low type."""
    n, weight = x.shape[-1], as_type(home.weight, x.dtype)
    diagonal: Tensor = None if settings.diagonal == "none" else as_type(home.diagonal, x.dtype)
    y = x.reshape((-1, n))
    if settings.algorithm(n, units, FFT_COST) == "dense":
        # not `product`: a low precision leaves circulant products as they are
        y = as_type(
            layer.product(ops.MatMul(transpose_b=True), y, explicit(weight, diagonal, settings, units)), y.dtype
        )
    else:
        y = y.expand_dims(1)  # (rows, 1, features): every block has the same input
        for factor in range(settings.factors):
            if settings.diagonal == "learned":
                y = y * diagonal[factor]
            y = correlation(y, weight[factor])  # (rows, blocks, features)
            if settings.diagonal == "fixed":
                y = y * rolled(diagonal[factor])
        y = y.reshape((-1, weight.shape[1] * n))[:, :units]
    return y.reshape((*x.shape[:-1], units))


class CirculantDense(Layer):
    settings: Settings

    def construct(self, x: Tensor, call: Call) -> Tensor:
        y = circulant_product(self, self, self.settings, x, self.settings.units)
        if self.settings.bias:
            y = ops.bias_add(y.reshape((-1, self.settings.units)), as_type(self.bias, x.dtype)).reshape(y.shape)
        return apply(self, self.settings.activation, y)
