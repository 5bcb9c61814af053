"""Layers of images: convolution, max-pooling and flattening. Images are (channels, height, width)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, bias_initial, weight_initial


class Conv2d(Layer):
    """Cross-correlation without padding, stride 1.

    y[o, i, j] = b[o] + sum over c, u, v of x[c, i + u, j + v] w[o, c, u, v].
    Parameters: weight (filters, channels, size, size), bias (filters).
    """

    type: Literal["conv2d"] = "conv2d"
    filters: int = Field(gt=0, le=2**20)
    """Channels of the output."""
    size: int = Field(gt=0, le=1024)
    """The side of a filter, in pixels."""
    bias: bool = True
    """Add a learned bias."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        area = self.size * self.size
        fan_in = shape[0] * area
        weight = weight_initial(self.initializer, fan_in, self.filters * area)
        parameters = {"weight": Parameter((self.filters, shape[0], self.size, self.size), weight)}
        if self.bias:
            parameters["bias"] = Parameter((self.filters,), bias_initial(self.initializer, fan_in))
        return parameters

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or min(shape[1:]) < self.size:
            raise ValueError(
                f"conv2d of size {self.size} needs (channels, height, width), each side at least that, got {shape}"
            )
        return (self.filters, shape[1] - self.size + 1, shape[2] - self.size + 1)

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        sides = (self.size, self.size)
        windows = np.lib.stride_tricks.sliding_window_view(x, sides, axis=(2, 3))  # type: ignore[call-overload]
        y = call.product(windows, p["weight"], "bcijuv,ocuv->boij")  # (videos, filters, height, width)
        return y + p["bias"][:, None, None] if self.bias else y


class MaxPool2d(Layer):
    """The largest value of each `size` x `size` tile. Rows and columns that do not fill a tile are left out."""

    type: Literal["max_pool2d"] = "max_pool2d"
    size: int = Field(default=2, gt=0, le=1024)
    """The side of a tile, in pixels."""

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or min(shape[1:]) < self.size:
            raise ValueError(
                f"max_pool2d of size {self.size} needs (channels, height, width), each side at least that, got {shape}"
            )
        return (shape[0], shape[1] // self.size, shape[2] // self.size)

    def has_kinks(self) -> bool:
        return True

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        b, c, h, w = x.shape
        s = self.size
        tiles = x[:, :, : h // s * s, : w // s * s].reshape(b, c, h // s, s, w // s, s)
        return tiles.max(axis=(3, 5))  # (videos, channels, height / size, width / size)


class Flatten(Layer):
    """All axes of an image as one axis, in row-major order.

    It does not take frames: their number varies, and padded frames would count.
    """

    type: Literal["flatten"] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) == 2:
            raise ValueError(
                f"flatten can't take frames, whose number varies, got {shape}; attention_cluster pools them"
            )
        return (math.prod(shape),)

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return x.reshape(len(x), -1)
