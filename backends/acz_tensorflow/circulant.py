"""Circulant products in TensorFlow, by Fourier transforms and by the explicit matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from acz.model.layers.circulant import CirculantDense as Settings
from acz.model.layers.circulant import CirculantProduct
from acz_tensorflow import INFO
from acz_tensorflow.base import Call, Layer, apply, widened

FFT_COST = INFO.fft_cost


@tf.custom_gradient
def correlation(x: Tensor, w: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """y_i = sum_j x_j w_{(j - i) mod n} by real Fourier transforms: x (rows, blocks or 1, n), w (blocks, n), y (rows, blocks, n).

    With a gradient of its own, of as many transforms as the forward pass: TensorFlow's are complex, and twice as long.
    """
    n, shared = [w.shape[-1]], x.shape[-2] < w.shape[-2]  # one x for all blocks
    spectrum, spectrum_of_w = tf.signal.rfft(x), tf.signal.rfft(w)

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        change = tf.signal.rfft(upstream)
        product = change * spectrum_of_w
        of_x = tf.signal.irfft(tf.reduce_sum(product, -2, keepdims=True) if shared else product, n)
        return of_x, tf.signal.irfft(tf.reduce_sum(tf.math.conj(change) * spectrum, 0), n)

    return tf.signal.irfft(spectrum * tf.math.conj(spectrum_of_w), n), gradient


def circulant(w: Tensor, rows: int) -> Tensor:
    """The first rows of each block's matrix, [b, i, j] = w[b, (j - i) mod n]: w (blocks, n) to (blocks, rows, n).

    Copies of w, one after the other, cut into rows that are one shorter than two copies: each begins a number later than
    the one above. So nothing is gathered, and the gradient is a sum of rows.
    """
    blocks, n = w.shape
    length = 2 * n - 1
    copies = tf.tile(w, (1, -(-rows * length // n)))[:, : rows * length]
    return tf.reshape(copies, (blocks, rows, length))[:, :, :n]


def explicit(own: Mapping[str, Any], settings: CirculantProduct, units: int, prefix: str = "") -> Tensor:
    """The matrix (units, features) of the whole product: y = matrix x. `own` holds weight and diagonal."""
    weight, diagonal = own[f"{prefix}weight"], f"{prefix}diagonal"
    n = weight.shape[-1]
    whole: Tensor = None
    for factor in reversed(range(settings.factors)):
        rows = n if whole is not None else min(units, n)
        matrix = circulant(weight[factor], rows)
        if settings.diagonal == "learned":
            matrix = matrix * own[diagonal][factor][:, None]
        if settings.diagonal == "fixed":
            matrix = matrix * tf.roll(own[diagonal][factor], 1, -1)[:, :rows, None]
        whole = matrix if whole is None else whole @ matrix
    return tf.reshape(whole, (-1, n))[:units]


def product(own: Mapping[str, Any], settings: CirculantProduct, x: Tensor, units: int, prefix: str = "") -> Tensor:
    """x (videos, ..., features) to (videos, ..., units); `own` holds weight and diagonal."""
    weight, diagonal = own[f"{prefix}weight"], f"{prefix}diagonal"
    n = weight.shape[-1]  # a graph's inputs have no sizes
    rows = tf.reshape(x, (-1, n))
    if settings.algorithm(n, units, FFT_COST) == "dense":
        y = tf.matmul(rows, explicit(own, settings, units, prefix), transpose_b=True)
    else:
        y = widened(rows)[:, None]  # (rows, 1, features): every block has the same input
        for factor in range(settings.factors):
            if settings.diagonal == "learned":
                y = y * widened(own[diagonal][factor])
            y = correlation(y, widened(weight[factor]))  # (rows, blocks, features)
            if settings.diagonal == "fixed":
                y = y * tf.roll(widened(own[diagonal][factor]), 1, -1)
        y = tf.cast(tf.reshape(y, (-1, weight.shape[1] * n))[:, :units], x.dtype)
    return y if len(x.shape) == 2 else tf.reshape(y, [*tf.unstack(tf.shape(x)[:-1]), units])


class CirculantDense(Layer):
    settings: Settings

    def call(self, x: Tensor, call: Call) -> Tensor:
        y = product(self.own, self.settings, x, self.settings.units)
        return apply(self.settings.activation, y + self.own["bias"] if self.settings.bias else y)
