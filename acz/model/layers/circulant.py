"""Circulant layers: matrices that one vector settles, n numbers in place of n x n.

Cheng et al. 2015, "An exploration of parameter redundancy in deep networks with circulant projections"; Araujo et al. 2018,
"Training compact deep learning models for video classification using circulant matrices".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import Function, apply
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, bias_initial, signs, weight_initial

Algorithm = Literal["fft", "dense"]

ROWS = 1200
"""Rows (videos, or frames of all videos) for which the faster algorithm is chosen: 80 videos of 15 frames."""

NUMBERS_IN_CACHE = 8192 * ROWS
"""As many as no longer stay near the processor when transforms write them, which then take twice the time."""


LARGEST_EXPLICIT = 2**28
"""Numbers of an explicit matrix, or of all that are multiplied to make it: 1 GiB in float32."""


def explicit_size(features: int, units: int, factors: int) -> int:
    """Numbers of the largest array on the way to the explicit matrix; a chain of factors multiplies whole blocks."""
    return features * (units if factors == 1 else math.ceil(units / features) * features)


def faster_algorithm(features: int, units: int, factors: int, fft_cost: float | None) -> Algorithm:
    """The faster algorithm of a circulant product: by `fft`, or by the explicit matrix (`dense`).

    Compares multiply-adds for ROWS rows, forward. The explicit matrix takes rows * features * units and, for each further factor,
    units * features^2 to multiply the matrices. A transform of n numbers takes n (log2 n + 1) steps, each as long as `fft_cost`
    multiply-adds, and up to twice that where results do not stay in the cache; there is one of x, one back
    for each block, and two more of each block for each further factor.
    The constants are fitted to forward and backward passes on one thread of a CPU (`acz bench --only circulant`).
    Without a cost there is no transform.
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
    """The first columns of x times the circulant matrix of w: y_i = sum_j x_j w_{(j - i) mod n}.

    x (..., n), w (n), y (..., columns). The matrix is made in strips of columns, for it may be larger than the memory.
    """
    n = len(w)
    strip = max(2**24 // n, 1)
    j, parts = np.arange(n)[:, None], []
    for first in range(0, columns, strip):
        i = np.arange(first, min(first + strip, columns))
        parts.append(x @ w[(j - i) % n])
    return np.concatenate(parts, axis=-1)


class CirculantProduct(Layer):
    """What a product with circulant matrices leaves open; settings of circulant_dense, and of what has such weights inside.

    `units` outputs of n features are ceil(units / n) blocks, each a function of all features, side by side and cut to `units`.
    A block is a chain of `factors` products y_i = sum_j x_j w_{(j - i) mod n}. `diagonal: learned` multiplies what goes into
    each by d_j; `fixed` multiplies y_i by d_{i - 1}, random signs that training never moves.

    `product` is how the adapters compute it: by real Fourier transforms, by the explicit matrix, or `auto`, whichever is faster
    for its size. It never changes the function. An ONNX file always has the explicit matrix, made when it is loaded.

    Parameters: weight (factors, blocks, features) and, unless `none`, diagonal (factors, blocks, features), which starts as signs:
    the published code draws learned ones as small as the weights, and so makes outputs sqrt(n) times smaller.
    """

    NOT_HASHED: ClassVar[dict[str, Any]] = {"product": True}

    type: Literal["circulant_dense"] = "circulant_dense"
    factors: int = Field(default=1, gt=0, le=2**10)
    diagonal: Literal["none", "learned", "fixed"] = "none"
    product: Literal["auto", "fft", "dense"] = "auto"

    def product_parameters(self, features: int, units: int, initializer: WeightInitial) -> dict[str, Parameter]:
        shape = (self.factors, math.ceil(units / features), features)
        found = {"weight": Parameter(shape, weight_initial(initializer, features, units))}
        if self.diagonal != "none":
            found["diagonal"] = Parameter(shape, signs(), "trained" if self.diagonal == "learned" else "fixed")
        return found

    def algorithm(self, features: int, units: int, fft_cost: float | None) -> Algorithm:
        """The algorithm that computes it.

        Args:
            features: numbers of a row of the input.
            units: numbers of a row of the output.
            fft_cost: multiply-adds in the time of one step of a transform. None: there is no transform, so the matrix is
                explicit even against `product: fft`. Infinity: `product: fft` is obeyed, and `auto` takes the matrix.

        Raises:
            ValueError: the algorithm is the explicit matrix, and that is too large.
        """
        chosen = self.product
        if chosen == "auto" or fft_cost is None:
            chosen = faster_algorithm(features, units, self.factors, fft_cost)
        size = explicit_size(features, units, self.factors)
        if chosen == "dense" and size > LARGEST_EXPLICIT:
            raise ValueError(
                f"the explicit matrix of {features:,} features to {units:,} units, {self.factors} factors, has {size:,} numbers, and "
                f"{LARGEST_EXPLICIT:,} are taken; {'there is no transform here' if fft_cost is None else 'product: fft needs none'}"
            )
        return chosen

    def multiply(self, x: Array, p: Mapping[str, Array], units: int, prefix: str = "") -> Array:
        """x (videos, ..., features) to (videos, ..., units), by the explicit matrices."""
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
    """y = f(x C + b) over the last axis, C made of circulant matrices: a dense layer with units numbers where it has features * units.

    Parameters: weight and diagonal as in CirculantProduct, bias (units).
    """

    units: int = Field(gt=0, le=2**31)
    bias: bool = True
    activation: Function | None = None
    initializer: WeightInitial = "uniform_fan_in"

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        found = self.product_parameters(shape[-1], self.units, self.initializer)
        if self.bias:
            found["bias"] = Parameter((self.units,), bias_initial(self.initializer, shape[-1]))
        return found

    def output_shape(self, shape: Shape) -> Shape:
        self.algorithm(shape[-1], self.units, math.inf)  # refuses an explicit matrix that is too large
        return (*shape[:-1], self.units)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return self.activation == "sigmoid"

    def algorithms(self, shape: Shape, fft_cost: float | None) -> dict[str, str]:
        return {"": self.algorithm(shape[-1], self.units, fft_cost)}

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        y = self.multiply(x, p, self.units)  # (videos, ..., units)
        if self.bias:
            y = y + p["bias"]
        return apply(self.activation, y) if self.activation else y
