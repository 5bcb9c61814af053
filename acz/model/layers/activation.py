"""Activation, softmax and log-softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from acz.foundation.arrays import Array
from acz.model.layers.base import Call, Layer

Function = Literal["relu", "relu6", "tanh", "sigmoid"]
KINKED = ("relu", "relu6")
"""Functions whose derivative jumps."""


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow: exp sees no positive number."""
    positive = x.real > 0
    e = np.exp(np.where(positive, -x, x))
    return np.where(positive, x.dtype.type(1), e) / (1 + e)


def apply(function: Function, x: Array) -> Array:
    """relu(x) = max(x, 0); relu6(x) = min(max(x, 0), 6); tanh; sigmoid(x) = 1 / (1 + exp(-x))."""
    if function == "relu":
        return np.maximum(x, 0)
    if function == "relu6":
        return np.minimum(np.maximum(x, 0), 6)
    if function == "tanh":
        return np.tanh(x)
    return sigmoid(x)


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum exp(x), after subtracting the largest x."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """x - log sum exp(x), after subtracting the largest x."""
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


class Activation(Layer):
    """y = f(x), a function of each element: relu, relu6, tanh or sigmoid."""

    type: Literal["activation"] = "activation"
    function: Function
    """The function: max(x, 0); that, at most 6; tanh; 1 / (1 + exp(-x))."""

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return self.function == "sigmoid"

    def has_kinks(self) -> bool:
        return self.function in KINKED

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return apply(self.function, x)


class Softmax(Layer):
    """y = exp(x) / sum exp(x) over the last axis."""

    type: Literal["softmax"] = "softmax"

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return True

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return softmax(x)


class LogSoftmax(Layer):
    """y = x - log sum exp(x) over the last axis."""

    type: Literal["log_softmax"] = "log_softmax"

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return log_softmax(x)
