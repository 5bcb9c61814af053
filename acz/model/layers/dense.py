"""The dense layer, and the rescaling of raw inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import KINKED, Function, apply
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, bias_initial, constant, subsets, weight_initial


class Dense(Layer):
    """y = f(x W + b) over the last axis.

    Parameters: weight (features, units), bias (units). With `fixed`, the weight is no parameter that is trained.
    """

    type: Literal["dense"] = "dense"
    units: int = Field(gt=0, le=2**31)
    """Outputs; in the last layer the number of classes."""
    bias: bool = True
    """Add a learned bias."""
    activation: Function | None = None
    """A function of each output."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""
    bias_start: float | None = None
    """The starting value of every bias, in place of the initializer's.

    log(p / (1 - p)) is right for logits of classes that a share p of the videos has (Lin et al. 2017, Focal loss,
    section 3.3). With a start at 0, a tanh layer before many rare classes saturates while it lowers all logits.
    """

    fixed: Literal["subsets"] | None = None
    """A weight that is a part of the function. `subsets`: output c is the sum of the inputs d whose bit d is set in c, as
    digits are in a label of Flash-MNIST. There are 2 ** inputs outputs. So the classes share what they have in common."""

    @model_validator(mode="after")
    def _has_bias(self) -> Dense:
        if self.bias_start is not None and not self.bias:
            raise ValueError("bias_start: there is no bias; leave out bias: false or bias_start")
        return self

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        if self.fixed:
            weight = Parameter((shape[-1], self.units), subsets(), "fixed")
        else:
            weight = Parameter((shape[-1], self.units), weight_initial(self.initializer, shape[-1], self.units))
        parameters = {"weight": weight}
        if self.bias:
            start = bias_initial(self.initializer, shape[-1]) if self.bias_start is None else constant(self.bias_start)
            parameters["bias"] = Parameter((self.units,), start)
        return parameters

    def output_shape(self, shape: Shape) -> Shape:
        if self.fixed and self.units != 2 ** shape[-1]:
            raise ValueError(f"fixed: subsets of {shape[-1]} inputs need {2 ** shape[-1]} units, not {self.units}")
        return (*shape[:-1], self.units)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return self.activation == "sigmoid"

    def has_kinks(self) -> bool:
        return self.activation in KINKED

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        y = call.product(x, p["weight"])  # (videos, ..., units)
        if self.bias:
            y = y + p["bias"]
        return apply(self.activation, y) if self.activation else y


class Rescale(Layer):
    """y = x * scale + offset, for inputs of bytes: it restores quantised features, or standardises pixels."""

    type: Literal["rescale"] = "rescale"
    scale: float = Field(gt=0)
    """The factor. Bytes of YouTube-8M need 4 / 255."""
    offset: float = 0.0
    """The number that is added. Bytes of YouTube-8M need 4 / 512 - 2."""

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return x * x.real.dtype.type(self.scale) + x.real.dtype.type(self.offset)
