"""What a layer is: settings, parameters, an output shape and a NumPy reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from acz.foundation.arrays import Array, Shape

Role = Literal["trained", "fixed", "statistic"]


@dataclass(frozen=True)
class Initial:
    """How starting values are drawn: all `value`, Normal(`mean`, `value`), uniform in +-`value`, or +-`value` by lot."""

    kind: Literal["constant", "normal", "uniform", "signs"]
    value: float
    mean: float = 0.0

    def __call__(self, source: np.random.Generator, shape: Shape) -> Array:
        if self.kind == "normal":
            return self.mean + source.standard_normal(shape) * self.value
        if self.kind == "uniform":
            return source.uniform(-self.value, self.value, shape)
        if self.kind == "signs":
            return np.where(source.random(shape) < 0.5, -self.value, self.value)
        return np.full(shape, self.value, dtype=np.float64)


@dataclass(frozen=True)
class Parameter:
    """One array of a model.

    `initial` draws the starting value, in float64, from a generator that is keyed by seed and path.
    `role` is `trained` (the optimiser moves it), `fixed` (part of the function, never moved) or `statistic`
    (a running mean or variance, moved by the forward pass in training).
    """

    shape: Shape
    initial: Initial
    role: Role = "trained"

    @property
    def size(self) -> int:
        return math.prod(self.shape)  # NumPy's product would wrap round


def constant(value: float) -> Initial:
    return Initial("constant", value)


def normal(deviation: float, mean: float = 0.0) -> Initial:
    return Initial("normal", deviation, mean)


def uniform(limit: float) -> Initial:
    return Initial("uniform", limit)


def signs() -> Initial:
    return Initial("signs", 1.0)


WeightInitial = Literal["uniform_fan_in", "he_normal", "glorot_uniform"]


def weight_initial(name: WeightInitial, fan_in: int, fan_out: int) -> Initial:
    """Starting weights of a linear map.

    `uniform_fan_in`: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's own. `he_normal`: N(0, 2/fan_in)
    (He et al. 2015; PaddlePaddle's MSRA). `glorot_uniform`: U(+-sqrt(6/(fan_in + fan_out))) (Glorot and Bengio 2010).
    """
    if name == "he_normal":
        return normal((2.0 / fan_in) ** 0.5)
    if name == "glorot_uniform":
        return uniform((6.0 / (fan_in + fan_out)) ** 0.5)
    return uniform(fan_in**-0.5)


def bias_initial(name: WeightInitial, fan_in: int) -> Initial:
    """Starting bias beside `weight_initial`: PyTorch's uniform one, zeros beside the others."""
    return uniform(fan_in**-0.5) if name == "uniform_fan_in" else constant(0.0)


@dataclass
class Call:
    """One run of a model's reference: what the layers share beside the array that flows through them."""

    training: bool = False
    dropout: Mapping[str, Array] = field(default_factory=dict)
    """Masks of zeros and ones by path; a dropout layer without one passes its input on."""
    recorded: dict[str, Array] | None = None
    updated: dict[str, Array] = field(default_factory=dict)
    """New running statistics by path, in training."""

    path: str = ""
    """The layer that runs now."""
    mask: Array | None = None
    """Valid frames of the stream that runs now, bool (videos, frames); none where all are valid."""

    def record(self, name: str, value: Array) -> None:
        if self.recorded is not None:
            self.recorded[f"{self.path}.{name}"] = value

    def update(self, name: str, value: Array) -> None:
        self.updated[f"{self.path}.{name}"] = value

    def dropped(self, x: Array, rate: float, name: str = "") -> Array:
        """x with the elements dropped that the mask of this layer (and `name`) says, the rest scaled up."""
        mask = self.dropout.get(f"{self.path}.{name}" if name else self.path)
        if not self.training or rate == 0.0 or mask is None:
            return x
        return x * (mask.astype(x.real.dtype) / x.real.dtype.type(1.0 - rate))


class Layer(BaseModel):
    """Base of the vocabulary. Shapes here leave out the leading axis of videos."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    NOT_HASHED: ClassVar[dict[str, Any]] = {}
    """Settings that choose an algorithm and leave the function as it is, as pydantic's `exclude` takes them. No hash has them."""

    type: str

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """Parameters by local name, for an input of `shape`."""
        return {}

    def output_shape(self, shape: Shape) -> Shape:
        """Raises ValueError with what must hold, if an input of `shape` can't be taken."""
        return shape

    def dropout_masks(self, shape: Shape) -> dict[str, tuple[Shape, float]]:
        """Shape and drop rate of each dropout mask by local name ('' for the layer's own)."""
        return {}

    def recorded(self) -> tuple[str, ...]:
        """Local names of inner values that are recorded beside the output."""
        return ()

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        """Whether what comes out is in 0 .. 1, if what goes in is, or is not (`of_probabilities`)."""
        return False

    def algorithms(self, shape: Shape, fft_cost: float | None) -> dict[str, str]:
        """The algorithm of each part that has several, by local name ('' for the whole layer).

        Args:
            shape: of the input.
            fft_cost: multiply-adds in the time of one step of a Fourier transform; None where there is no transform.
        """
        return {}

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        """The layer in NumPy: x (videos, *shape) to (videos, *output_shape(shape))."""
        raise TypeError(f"{type(self).__name__} has no reference")
