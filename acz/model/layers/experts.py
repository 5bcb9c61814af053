"""Mixture of experts (Jordan and Jacobs 1994; Abu-El-Haija et al. 2016, YouTube-8M, section 5.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import sigmoid, softmax
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, bias_initial, constant, weight_initial
from acz.model.layers.circulant import CirculantProduct


class MixtureOfExperts(Layer):
    """A probability for each class: the mean of M logistic experts, weighted by a softmax gate.

    gate[c] = softmax(x Wg)[c] over M + 1 mixtures. expert[c] = sigmoid(x We + be)[c], M numbers.
    p[c] = sum_m gate[c, m] expert[c, m]. The last gate of a class belongs to an expert that always gives 0.

    Parameters: gates.weight (features, classes * (mixtures + 1)), experts.weight (features, classes * mixtures),
    experts.bias (classes * mixtures). The mixtures of one class are neighbours. The published weights have this order,
    and so have the columns of a circulant product of the same width.

    With `circulant` the matrices are circulant: gates.weight, gates.diagonal, experts.weight and experts.diagonal are
    those of CirculantProduct. experts.bias then starts at 1 / sqrt(classes * mixtures).
    """

    NOT_HASHED: ClassVar[dict[str, Any]] = {"circulant": CirculantProduct.NOT_HASHED}

    type: Literal["mixture_of_experts"] = "mixture_of_experts"
    classes: int = Field(gt=0, le=2**24)
    """Classes, each with experts of its own."""
    mixtures: int = Field(default=2, gt=0, le=2**10)
    """Experts of a class, beside the one that always gives 0."""
    circulant: CirculantProduct | None = None
    """Circulant matrices in place of full ones."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        features = shape[-1]
        gates, experts = self.classes * (self.mixtures + 1), self.classes * self.mixtures
        if self.circulant:
            sides = {"gates": gates, "experts": experts}
            parameters = {
                f"{side}.{name}": parameter
                for side, units in sides.items()
                for name, parameter in self.circulant.product_parameters(features, units, self.initializer).items()
            }
            return parameters | {"experts.bias": Parameter((experts,), constant(experts**-0.5))}
        return {
            "gates.weight": Parameter((features, gates), weight_initial(self.initializer, features, gates)),
            "experts.weight": Parameter((features, experts), weight_initial(self.initializer, features, experts)),
            "experts.bias": Parameter((experts,), bias_initial(self.initializer, features)),
        }

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"mixture_of_experts needs a vector (features), got {shape}")
        if self.circulant:  # raises for an explicit matrix that is too large
            self.circulant.algorithm(shape[0], self.classes * (self.mixtures + 1), math.inf)
        return (self.classes,)

    def gives_probabilities(self, of_probabilities: bool) -> bool:
        return True

    def algorithms(self, shape: Shape, fft_cost: float | None) -> dict[str, str]:
        if not self.circulant:
            return {}
        sides = {"gates": self.classes * (self.mixtures + 1), "experts": self.classes * self.mixtures}
        return {side: self.circulant.algorithm(shape[-1], units, fft_cost) for side, units in sides.items()}

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        if self.circulant:
            gates = self.circulant.multiply(x, p, self.classes * (self.mixtures + 1), "gates.")
            experts = self.circulant.multiply(x, p, self.classes * self.mixtures, "experts.")
        else:
            gates, experts = call.product(x, p["gates.weight"]), call.product(x, p["experts.weight"])
        gates = softmax(gates.reshape(len(x), self.classes, self.mixtures + 1))
        experts = sigmoid(experts + p["experts.bias"])
        experts = experts.reshape(len(x), self.classes, self.mixtures)  # (videos, classes, mixtures)
        return (gates[:, :, :-1] * experts).sum(axis=2)  # (videos, classes)
