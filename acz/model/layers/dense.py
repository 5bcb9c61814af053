"""The dense layer, and layers that prepare raw inputs: rescaling, and the reverse of whitening."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from acz.foundation.arrays import Array, Shape
from acz.foundation.errors import SpecError
from acz.model.layers.activation import KINKED, Function, apply
from acz.model.layers.base import (
    Call,
    Initial,
    Layer,
    Parameter,
    WeightInitial,
    bias_initial,
    constant,
    subsets,
    weight_initial,
)

LEAST_DEVIATION = 1e-4
"""The number that is added to the root of an eigenvalue."""


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


def scale_of_eigenvalues(file: str, features: int) -> Array:
    """Give sqrt(eigenvalue) + 1e-4 for the first `features` eigenvalues of a .npy file.

    Raises:
        SpecError: the file is missing, or does not hold enough eigenvalues. The message names it.
    """
    try:
        values = np.load(Path(file), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SpecError(f"eigenvalues: {file} can't be read as a .npy file: {error}") from None
    values = np.asarray(values).reshape(-1)
    if values.dtype.kind != "f" or len(values) < features or not (values[:features] >= 0).all():
        raise SpecError(
            f"eigenvalues: {file} must hold at least {features} numbers of floating point, none below 0; "
            f"it holds {len(values)} of {values.dtype}"
        )
    return np.sqrt(values[:features]).astype(np.float64) + LEAST_DEVIATION


@dataclass(frozen=True)
class ScaleOfEigenvalues(Initial):
    """Starting values that are read from a file of eigenvalues."""

    file: str = ""

    def __call__(self, source: np.random.Generator, shape: Shape) -> Array:
        return scale_of_eigenvalues(self.file, shape[0])


class ReverseWhitening(Layer):
    """y = (x - offset) * scale, with scale = sqrt(eigenvalue) + 1e-4 for each feature.

    The rgb features of YouTube-8M were whitened: divided by the roots of the eigenvalues of their covariance. This layer
    takes that back. The scales come from a file of eigenvalues when a model starts. From then on they are a part of
    every checkpoint, and never change. Without a file all scales are 1.

    Parameters: scale (features), fixed.

    Source: Lin, Xiao and Fan 2018, section 4.1; linrongc/youtube-8m, train.py.
    """

    NOT_HASHED: ClassVar[dict[str, Any]] = {"eigenvalues": True}

    type: Literal["reverse_whitening"] = "reverse_whitening"
    offset: float = 4 / 512
    """The number that is subtracted first. Dequantised bytes of YouTube-8M are too large by 4 / 512."""
    eigenvalues: str | None = None
    """A .npy file with an eigenvalue for each feature, or more. It is read once, for the starting values."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        start = ScaleOfEigenvalues("constant", 1.0, file=self.eigenvalues) if self.eigenvalues else constant(1.0)
        return {"scale": Parameter((shape[-1],), start, "fixed")}

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) > 2:
            raise ValueError(f"reverse_whitening needs (features) or (frames, features), got {shape}")
        return shape

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return (x - x.real.dtype.type(self.offset)) * p["scale"]
