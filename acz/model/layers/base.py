"""The base of every layer: settings, parameters, an output shape and a NumPy reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from acz.foundation.arrays import Array, Shape

Role = Literal["trained", "fixed", "statistic"]


@dataclass(frozen=True)
class Initial:
    """A distribution of starting values.

    - `constant`: all `value`;
    - `normal`: Normal(`mean`, `value`);
    - `uniform`: uniform in -`value` .. `value`;
    - `signs`: `value` or -`value`, with equal probability;
    - `subsets`: an array (d, 2^d). Column c has `value` in the rows of the ones among the bits of c, and 0 elsewhere.
    """

    kind: Literal["constant", "normal", "uniform", "signs", "subsets"]
    value: float
    mean: float = 0.0

    def __call__(self, source: np.random.Generator, shape: Shape) -> Array:
        """Draw an array of this shape, in float64."""
        if self.kind == "normal":
            return self.mean + source.standard_normal(shape) * self.value
        if self.kind == "uniform":
            return source.uniform(-self.value, self.value, shape)
        if self.kind == "signs":
            return np.where(source.random(shape) < 0.5, -self.value, self.value)
        if self.kind == "subsets":
            rows, columns = shape
            return (np.arange(columns) >> np.arange(rows)[:, np.newaxis] & 1) * self.value
        return np.full(shape, self.value, dtype=np.float64)


@dataclass(frozen=True)
class Parameter:
    """One array of a model.

    `initial` draws the starting values from a generator that is keyed by the seed and the path. `role` has three
    values:

    - `trained`: the optimiser changes it;
    - `fixed`: it is a part of the function and never changes;
    - `statistic`: it is a running mean or variance, and the forward pass changes it in training.
    """

    shape: Shape
    initial: Initial
    role: Role = "trained"

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)  # NumPy's product would overflow


def constant(value: float) -> Initial:
    """Give starting values that are all `value`."""
    return Initial("constant", value)


def normal(deviation: float, mean: float = 0.0) -> Initial:
    """Give starting values of Normal(mean, deviation)."""
    return Initial("normal", deviation, mean)


def uniform(limit: float) -> Initial:
    """Give starting values that are uniform in -limit .. limit."""
    return Initial("uniform", limit)


def signs() -> Initial:
    """Give starting values that are 1 or -1 with equal probability."""
    return Initial("signs", 1.0)


def subsets() -> Initial:
    """Give the matrix (d, 2^d) that adds up the numbers of every subset of d things."""
    return Initial("subsets", 1.0)


WeightInitial = Literal["uniform_fan_in", "he_normal", "glorot_uniform"]


def weight_initial(name: WeightInitial, fan_in: int, fan_out: int) -> Initial:
    """Give the starting values of the weights of a linear map.

    - `uniform_fan_in`: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default.
    - `he_normal`: N(0, 2/fan_in) (He et al. 2015), called MSRA in PaddlePaddle.
    - `glorot_uniform`: U(+-sqrt(6/(fan_in + fan_out))) (Glorot and Bengio 2010).
    """
    if name == "he_normal":
        return normal((2.0 / fan_in) ** 0.5)
    if name == "glorot_uniform":
        return uniform((6.0 / (fan_in + fan_out)) ** 0.5)
    return uniform(fan_in**-0.5)


def bias_initial(name: WeightInitial, fan_in: int) -> Initial:
    """Give the starting values of the bias: U(+-1/sqrt(fan_in)) beside `uniform_fan_in`, else zeros."""
    return uniform(fan_in**-0.5) if name == "uniform_fan_in" else constant(0.0)


def multiply(path: str, x: Array, w: Array, how: str = "") -> Array:
    """Multiply x and w: x @ w, or by the subscripts `how` of einsum. Nothing is rounded."""
    return np.einsum(how, x, w, optimize=True) if how else x @ w


@dataclass
class Call:
    """One run of a model's reference: the values that the layers share."""

    training: bool = False
    dropout: Mapping[str, Array] = field(default_factory=dict)
    """Masks of zeros and ones by path. A dropout layer without a mask gives its input."""
    recorded: dict[str, Array] | None = None
    """Inner values by path, or None where nothing is recorded."""
    updated: dict[str, Array] | None = field(default_factory=dict)
    """New running statistics by path, in training, or None where nobody asks for them."""
    path: str = ""
    """The layer that runs now."""
    mask: Array | None = None
    """The valid frames of the stream that runs now, bool (videos, frames). None: all frames are valid."""
    products: Callable[[str, Array, Array, str], Array] = multiply
    """The products, which round their operands in a low precision: of a layer's path, the operands and `how`."""

    def product(self, x: Array, w: Array, how: str = "") -> Array:
        """Multiply in the run's precision: x @ w, or by the subscripts `how` of einsum.

        Every product of frames, vectors or images with weights or shares is one of these. Circulant products are not:
        they stay in float32, because transforms and matrices round differently.
        """
        return self.products(self.path, x, w, how)

    def record(self, name: str, value: Array) -> None:
        """Keep an inner value of the layer that runs now."""
        if self.recorded is not None:
            self.recorded[f"{self.path}.{name}"] = value

    def update(self, name: str, value: Array) -> None:
        """Keep the new value of a running statistic of the layer that runs now."""
        if self.updated is not None:
            self.updated[f"{self.path}.{name}"] = value

    def dropped(self, x: Array, rate: float, name: str = "") -> Array:
        """Drop the elements of x where the mask of this layer (and `name`) is 0. Scale the others by 1 / (1 - rate)."""
        mask = self.dropout.get(f"{self.path}.{name}" if name else self.path)
        if not self.training or rate == 0.0 or mask is None:
            return x
        return x * (mask.astype(x.real.dtype) / x.real.dtype.type(1.0 - rate))


class Layer(BaseModel):
    """The base of all layers. Shapes here have no leading axis of videos."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    NOT_HASHED: ClassVar[dict[str, Any]] = {}
    """Settings that choose an algorithm and do not change the function, in the form of pydantic's `exclude`.

    They are not a part of any hash.
    """

    type: str

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """Give the parameters by local name, for an input of `shape`."""
        return {}

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape of the output for an input of `shape`.

        Raises:
            ValueError: the layer cannot take an input of `shape`. The message says which shapes it takes.
        """
        return shape

    def dropout_masks(self, shape: Shape) -> dict[str, tuple[Shape, float]]:
        """Map the local name of each dropout mask ('' for the layer itself) to its shape and drop rate."""
        return {}

    def recorded(self) -> tuple[str, ...]:
        """Give the local names of the inner values that can be recorded beside the output."""
        return ()

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        """True where the output is in 0 .. 1. `of_probabilities` says that the input is."""
        return False

    def has_kinks(self) -> bool:
        """True where the derivative jumps, at a maximum, a clip or a comparison, so that a fault may need a certain draw."""
        return False

    def algorithms(self, shape: Shape, fft_cost: float | None) -> dict[str, str]:
        """Map each part that has several algorithms to its algorithm, by local name ('' for the whole layer).

        Args:
            shape: the shape of the input.
            fft_cost: multiply-adds in the time of one step of a Fourier transform. None: there is no transform.
        """
        return {}

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        """Compute the layer in NumPy: x (videos, *shape) to (videos, *output_shape(shape))."""
        raise TypeError(f"{type(self).__name__} has no reference")
