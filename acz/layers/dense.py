"""Dense layer, and the rescaling of raw inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from acz.layers.activation import Function, apply
from acz.layers.base import (
    Array,
    Call,
    Layer,
    Parameter,
    Shape,
    WeightInitial,
    bias_initial,
    weight_initial,
)


class Dense(Layer):
    """y = f(x W + b) over the last axis.

    Parameters: weight (features, units), bias (units).
    """

    type: Literal["dense"] = "dense"
    units: int = Field(gt=0, le=2**31)
    bias: bool = True
    activation: Function | None = None
    initializer: WeightInitial = "uniform_fan_in"

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        weight = weight_initial(self.initializer, shape[-1], self.units)
        found = {"weight": Parameter((shape[-1], self.units), weight)}
        if self.bias:
            found["bias"] = Parameter((self.units,), bias_initial(self.initializer, shape[-1]))
        return found

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return self.activation == "sigmoid"

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        y = x @ p["weight"]  # (videos, ..., units)
        if self.bias:
            y = y + p["bias"]
        return apply(self.activation, y) if self.activation else y


class Rescale(Layer):
    """y = x * scale + offset, for inputs that arrive as bytes: dequantising, or standardising pixels."""

    type: Literal["rescale"] = "rescale"
    scale: float = Field(gt=0)
    offset: float = 0.0

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return x * x.real.dtype.type(self.scale) + x.real.dtype.type(self.offset)
