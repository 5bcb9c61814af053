"""Circulant layers: a vector of n numbers defines a matrix of n x n.

Source: Cheng et al. 2015, "An exploration of parameter redundancy in deep networks with circulant projections";
Araujo et al. 2018, "Training compact deep learning models for video classification using circulant matrices".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import KINKED, Function, apply
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, bias_initial, signs, weight_initial

Algorithm = Literal["fft", "dense"]

ROWS = 1200
"""Rows (videos, or frames of all videos) for which the faster algorithm is chosen: 80 videos of 15 frames."""

NUMBERS_IN_CACHE = 8192 * ROWS
"""Results of this size no longer stay in the cache. A transform that writes them takes twice the time."""

LARGEST_EXPLICIT = 2**28
"""The most numbers of an explicit matrix, and of the arrays that are multiplied to make it: 1 GiB in float32."""


def explicit_size(features: int, units: int, factors: int) -> int:
    """Give the size of the largest array in the making of the explicit matrix. A chain multiplies whole blocks."""
    return features * (units if factors == 1 else math.ceil(units / features) * features)


def faster_algorithm(features: int, units: int, factors: int, fft_cost: float | None) -> Algorithm:
    """Choose the faster algorithm of a circulant product: transforms (`fft`) or the explicit matrix (`dense`).

    The choice compares multiply-adds of a forward pass of ROWS rows:

    - The explicit matrix needs rows * features * units. Each further factor needs units * features^2 to multiply
      matrices.
    - A transform of n numbers needs n (log2 n + 1) steps, each as long as `fft_cost` multiply-adds. The time doubles
      where the results do not stay in the cache. x needs one transform, and each block needs one back. Each further
      factor needs two more of each block.

    The constants are fitted to forward and backward passes on one thread of a CPU (`acz bench --only circulant`).

    Args:
        features: numbers of a row of the input.
        units: numbers of a row of the output.
        factors: circulant matrices in a chain.
        fft_cost: multiply-adds in the time of one step of a transform. None: there is no transform.
    """
    if fft_cost is None:
        return "dense"
    if explicit_size(features, units, factors) > LARGEST_EXPLICIT:
        return "fft"
    blocks = math.ceil(units / features)
    explicit = ROWS * features * units + (factors - 1) * units * features**2
    steps = ROWS * features * (1 + (2 * factors - 1) * blocks) * (math.log2(features) + 1)
    spill = 1 + min(ROWS * blocks * features / NUMBERS_IN_CACHE, 1)
    return "fft" if steps * spill * fft_cost < explicit else "dense"


def correlate(x: Array, w: Array, columns: int) -> Array:
    """Multiply x by the first columns of the circulant matrix of w: y_i = sum_j x_j w_{(j - i) mod n}.

    x (..., n), w (n), y (..., columns). The matrix is made in strips of columns, because it may be larger than the
    memory.
    """
    n = len(w)
    strip = max(2**24 // n, 1)
    j, parts = np.arange(n)[:, None], []
    for first in range(0, columns, strip):
        i = np.arange(first, min(first + strip, columns))
        parts.append(x @ w[(j - i) % n])
    return np.concatenate(parts, axis=-1)


class CirculantProduct(Layer):
    """The settings of a product with circulant matrices: of circulant_dense, and of layers with such weights inside.

    `units` outputs of n features are ceil(units / n) blocks, side by side and cut to `units`. Each is a function of all
    features. A block is a chain of `factors` products y_i = sum_j x_j w_{(j - i) mod n}. `diagonal: learned` multiplies
    the input of each product by d_j. `diagonal: fixed` multiplies y_i by d_{i - 1}, random signs that never change.

    `product` is the algorithm of the adapters: `fft`, real Fourier transforms; `dense`, the explicit matrix; `auto`,
    the faster of the two. It never changes the function. An ONNX file always has the explicit matrix, made at its
    loading.

    Parameters: weight (factors, blocks, features) and, unless `none`, diagonal (factors, blocks, features). The
    diagonal starts as signs. The published code draws learned diagonals as small as the weights, which makes the
    outputs sqrt(n) times smaller.
    """

    NOT_HASHED: ClassVar[dict[str, Any]] = {"product": True}

    type: Literal["circulant_dense"] = "circulant_dense"
    factors: int = Field(default=1, gt=0, le=2**10)
    """Circulant matrices in a chain."""
    diagonal: Literal["none", "learned", "fixed"] = "none"
    """Numbers between the matrices: none, learned, or fixed random signs."""
    product: Literal["auto", "fft", "dense"] = "auto"
    """The algorithm; it changes the time and not the function."""

    def product_parameters(self, features: int, units: int, initializer: WeightInitial) -> dict[str, Parameter]:
        """Give the parameters of a product of `features` to `units`, by local name."""
        shape = (self.factors, math.ceil(units / features), features)
        parameters = {"weight": Parameter(shape, weight_initial(initializer, features, units))}
        if self.diagonal != "none":
            parameters["diagonal"] = Parameter(shape, signs(), "trained" if self.diagonal == "learned" else "fixed")
        return parameters

    def algorithm(self, features: int, units: int, fft_cost: float | None) -> Algorithm:
        """Choose the algorithm of the product.

        Args:
            features: numbers of a row of the input.
            units: numbers of a row of the output.
            fft_cost: multiply-adds in the time of one step of a transform. None: there is no transform, so the matrix
                is explicit even with `product: fft`. Infinity: `fft` where `product` says so, and `auto` takes the
                matrix.

        Raises:
            ValueError: the algorithm is the explicit matrix, and the matrix is too large.
        """
        chosen = self.product
        if chosen == "auto" or fft_cost is None:
            chosen = faster_algorithm(features, units, self.factors, fft_cost)
        size = explicit_size(features, units, self.factors)
        if chosen == "dense" and size > LARGEST_EXPLICIT:
            raise ValueError(
                f"the explicit matrix of {features:,} features to {units:,} units, {self.factors} factors, has "
                f"{size:,} numbers, and "
                f"{LARGEST_EXPLICIT:,} are allowed; "
                f"{'there is no transform here' if fft_cost is None else 'product: fft needs no matrix'}"
            )
        return chosen

    def multiply(self, x: Array, p: Mapping[str, Array], units: int, prefix: str = "") -> Array:
        """Multiply by the explicit matrices: x (videos, ..., features) to (videos, ..., units)."""
        weight, n = p[f"{prefix}weight"], x.shape[-1]
        blocks = []
        for block in range(weight.shape[1]):
            y = x
            for factor in range(self.factors):
                columns = min(units - block * n, n) if factor == self.factors - 1 else n
                if self.diagonal == "learned":
                    y = y * p[f"{prefix}diagonal"][factor, block]
                y = correlate(y, weight[factor, block], columns)  # (videos, ..., columns)
                if self.diagonal == "fixed":
                    y = y * np.roll(p[f"{prefix}diagonal"][factor, block], 1)[:columns]
            blocks.append(y)
        return np.concatenate(blocks, axis=-1)


class CirculantDense(CirculantProduct):
    """y = f(x C + b) over the last axis, where circulant matrices make up C.

    C has about `units` numbers, in place of the features * units numbers of a dense layer.

    Parameters: weight and diagonal as in CirculantProduct, bias (units).
    """

    units: int = Field(gt=0, le=2**31)
    """Outputs."""
    bias: bool = True
    """Add a learned bias."""
    activation: Function | None = None
    """A function of each output."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        parameters = self.product_parameters(shape[-1], self.units, self.initializer)
        if self.bias:
            parameters["bias"] = Parameter((self.units,), bias_initial(self.initializer, shape[-1]))
        return parameters

    def output_shape(self, shape: Shape) -> Shape:
        self.algorithm(shape[-1], self.units, math.inf)  # raises for an explicit matrix that is too large
        return (*shape[:-1], self.units)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return self.activation == "sigmoid"

    def has_kinks(self) -> bool:
        return self.activation in KINKED

    def algorithms(self, shape: Shape, fft_cost: float | None) -> dict[str, str]:
        return {"": self.algorithm(shape[-1], self.units, fft_cost)}

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        y = self.multiply(x, p, self.units)  # (videos, ..., units)
        if self.bias:
            y = y + p["bias"]
        return apply(self.activation, y) if self.activation else y
