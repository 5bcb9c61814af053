"""Circulant products in JAX, by Fourier transforms and by the explicit matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array as Tensor

from acz.model.layers.circulant import CirculantDense as Settings
from acz.model.layers.circulant import CirculantProduct
from acz_jax import INFO
from acz_jax.base import Call, Layer, Tensors, apply, matmul

FFT_COST = INFO.fft_cost


@jax.custom_vjp
def correlation(x: Tensor, w: Tensor) -> Tensor:
    """y_i = sum_j x_j w_{(j - i) mod n} by real Fourier transforms: x (..., blocks or 1, n), w (blocks, n), y (..., blocks, n).

    With a gradient of its own, of as many transforms as the forward pass.
    """
    return _correlation(x, w)[0]


def _correlation(x: Tensor, w: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    spectra = jnp.fft.rfft(x), jnp.fft.rfft(w)
    return jnp.fft.irfft(spectra[0] * spectra[1].conj(), n=w.shape[-1]), spectra


def _gradient_of_correlation(spectra: tuple[Tensor, Tensor], gradient: Tensor) -> tuple[Tensor, Tensor]:
    spectrum, spectrum_of_w = spectra
    n, change = gradient.shape[-1], jnp.fft.rfft(gradient)
    product = change * spectrum_of_w
    shared = spectrum.shape[-2] < product.shape[-2]  # one x for all blocks
    of_x = jnp.fft.irfft(product.sum(-2, keepdims=True) if shared else product, n=n)
    return of_x, jnp.fft.irfft((change.conj() * spectrum).sum(range(change.ndim - 2)), n=n)


correlation.defvjp(_correlation, _gradient_of_correlation)


def circulant(w: Tensor, rows: int) -> Tensor:
    """The first rows of each block's matrix, [b, i, j] = w[b, (j - i) mod n]: w (blocks, n) to (blocks, rows, n).

    Copies of w, one after the other, cut into rows that are one shorter than two copies: each begins a number later than
    the one above. So nothing is gathered, and the gradient is a sum of rows.
    """
    blocks, n = w.shape
    length = 2 * n - 1
    copies = jnp.tile(w, (1, -(-rows * length // n)))[:, : rows * length]
    return copies.reshape(blocks, rows, length)[:, :, :n]


def explicit(p: Tensors, settings: CirculantProduct, units: int, prefix: str = "") -> Tensor:
    """The matrix (units, features) of the whole product: y = matrix x. `p` holds weight and diagonal."""
    weight, diagonal = p[f"{prefix}weight"], f"{prefix}diagonal"
    n = weight.shape[-1]
    whole: Tensor | None = None
    for factor in reversed(range(settings.factors)):
        rows = n if whole is not None else min(units, n)
        matrix = circulant(weight[factor], rows)
        if settings.diagonal == "learned":
            matrix = matrix * p[diagonal][factor][:, None]
        if settings.diagonal == "fixed":
            matrix = matrix * jnp.roll(p[diagonal][factor], 1, -1)[:, :rows, None]
        whole = matrix if whole is None else matmul(whole, matrix)
    assert whole is not None
    return whole.reshape(-1, n)[:units]


def product(p: Tensors, settings: CirculantProduct, x: Tensor, units: int, prefix: str = "") -> Tensor:
    """x (videos, ..., features) to (videos, ..., units); `p` holds weight and diagonal."""
    if settings.algorithm(x.shape[-1], units, FFT_COST) == "dense":
        return matmul(x, explicit(p, settings, units, prefix).T)
    weight, diagonal = p[f"{prefix}weight"], f"{prefix}diagonal"
    y = jnp.expand_dims(x, -2)  # (videos, ..., 1, features): every block has the same input
    for factor in range(settings.factors):
        if settings.diagonal == "learned":
            y = y * p[diagonal][factor]
        y = correlation(y, weight[factor])  # (videos, ..., blocks, features)
        if settings.diagonal == "fixed":
            y = y * jnp.roll(p[diagonal][factor], 1, -1)
    return y.reshape(*x.shape[:-1], y.shape[-2] * y.shape[-1])[..., :units]


class CirculantDense(Layer):
    settings: Settings

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        y = product(p, self.settings, x, self.settings.units)
        return apply(self.settings.activation, y + p["bias"] if self.settings.bias else y)
