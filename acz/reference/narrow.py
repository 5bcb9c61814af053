"""Bounds of artefacts whose weights are narrower than float32, derived from what the narrower types do to the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz.reference import execution
from acz.reference.bounds import difference, perturbed

MARGIN = 4.0
"""A result may be this many times as far from float64 as the narrower type takes the reference.

Less than for float32: the numbers that are rounded are nearly the same, so the runtime errs much as the reference does.
"""
HALF_UNIT_OF_FLOAT16 = 2.0**-11
LEAST_QUANTISED = 1024
"""Smaller weights stay float32: the converter's rule."""


def narrow_bound(
    spec: Spec, parameters: Mapping[str, Array], inputs: Mapping[str, Array], exact: Array, weights: str
) -> float:
    """The share of a bound that narrower weights are responsible for.

    `float16`: every parameter is rounded to float16, or changed by half a unit of it; the larger effect counts.
    `int8`: the effect of the weights as the file holds them, and that of rounding what they are multiplied with.

    Args:
        spec: the model.
        parameters: arrays by path, float64.
        inputs: the batch, by the core's names.
        exact: the reference's output for it.
        weights: `float16` or `int8`.
    """

    def output(values: Mapping[str, Array]) -> Array:
        return np.asarray(execution.forward(spec, values, inputs)["output"])

    if weights == "float16":
        rounded = {path: value.astype(np.float16).astype(np.float64) for path, value in parameters.items()}
        others = (rounded, perturbed(parameters, HALF_UNIT_OF_FLOAT16))
        return MARGIN * max(difference(output(other), exact) for other in others)
    quantised = {path for path, value in parameters.items() if is_quantised(path, value)}
    held = {path: to_int8(v, of_unit(v)) if path in quantised else v for path, v in parameters.items()}
    multiplied = {path: value.view(RoundedProduct) if path in quantised else value for path, value in held.items()}
    of_weights = output(held)
    return MARGIN * (difference(of_weights, exact) + difference(output(multiplied), of_weights))


def is_quantised(path: str, value: Array) -> bool:
    """Tell whether an int8 file holds a parameter as int8: the large weights of dense layers and convolutions.

    Of a circulant product, whose weight is (factors, blocks, features), the file holds the matrix.
    """
    numbers = value.size * value.shape[-1] if value.ndim == 3 else value.size
    return path.rpartition(".")[2] == "weight" and value.ndim > 1 and numbers >= LEAST_QUANTISED


def of_unit(weight: Array) -> tuple[int, ...]:
    """The axes that lead to one output: of a matrix (features, units), of a circulant product's vectors (factors, blocks,
    features), and of a kernel (filters, channels, height, width)."""
    return {2: (0,), 3: (2,), 4: (1, 2, 3)}[weight.ndim]


def to_int8(x: Array, axes: tuple[int, ...]) -> Array:
    """x on a grid of 255 steps, symmetric about 0; one grid for all numbers along `axes`."""
    step = np.abs(x).max(axis=axes, keepdims=True) / 127
    step = np.where(step == 0, 1, step)
    return np.round(x / step) * step


class RoundedProduct(np.ndarray[Any, Any]):
    """A weight whose products first round the other factor to int8: each row of a matrix, each image of a convolution."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        arrays = [np.asarray(value) for value in inputs]
        if ufunc is np.matmul and isinstance(inputs[1], RoundedProduct):
            arrays[0] = to_int8(arrays[0], (-1,))
        return getattr(ufunc, method)(*arrays, **settings)

    def __array_function__(self, function: Callable[..., Any], types: Any, values: Any, settings: Any) -> Any:
        arrays = [np.asarray(value) if isinstance(value, np.ndarray) else value for value in values]
        if function is np.einsum:
            windows = arrays[1]
            arrays[1] = to_int8(windows, tuple(range(1, windows.ndim)))
        return function(*arrays, **settings)
