"""Mixture of experts (Jordan and Jacobs 1994; Abu-El-Haija et al. 2016, YouTube-8M, section 5.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import sigmoid, softmax
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, bias_initial, constant, weight_initial
from acz.model.layers.circulant import CirculantProduct
from acz.model.layers.normalize import BatchNormSettings, batch_norm_parameters


class InputGating(BaseModel):
    """Gates of the probabilities by the input: p' = p * sigmoid(batch_norm(x W)).

    With `remove_diagonal` the argument of the batch norm is x W - W[c, c] p[c] for class c, as in the source. It needs
    at least as many features as classes.

    Source: antoine77340/Youtube-8M-WILLOW, `moe_prob_gating_input`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    norm: BatchNormSettings = BatchNormSettings()
    """Batch normalisation of the gates."""
    remove_diagonal: bool = False
    """Subtract the diagonal of W times the probabilities."""


class MixtureOfExperts(Layer):
    """A probability for each class: the mean of M logistic experts, weighted by a softmax gate.

    gate[c] = softmax(x Wg)[c] over M + 1 mixtures. expert[c] = sigmoid(x We + be)[c], M numbers.
    p[c] = sum_m gate[c, m] expert[c, m]. The last gate of a class belongs to an expert that always gives 0.

    Parameters: gates.weight (features, classes * (mixtures + 1)), experts.weight (features, classes * mixtures),
    experts.bias (classes * mixtures). The mixtures of one class are neighbours. The published weights have this order,
    and so have the columns of a circulant product of the same width.

    With `circulant` the matrices are circulant: gates.weight, gates.diagonal, experts.weight and experts.diagonal are
    those of CirculantProduct. experts.bias then starts at 1 / sqrt(classes * mixtures).

    With `low_rank` the gates are x W1 W2: gates.weight is W2 (low_rank, classes * (mixtures + 1)), and
    gates_input.weight is W1 (features, low_rank). With `input_gating` (InputGating) the parameters have
    gating.weight (features, classes) and gating_norm.* (classes), too.
    """

    NOT_HASHED: ClassVar[dict[str, Any]] = {"circulant": CirculantProduct.NOT_HASHED}

    type: Literal["mixture_of_experts"] = "mixture_of_experts"
    classes: int = Field(gt=0, le=2**24)
    """Classes, each with experts of its own."""
    mixtures: int = Field(default=2, gt=0, le=2**10)
    """Experts of a class, beside the one that always gives 0."""
    circulant: CirculantProduct | None = None
    """Circulant matrices in place of full ones."""
    low_rank: int | None = Field(default=None, gt=0, le=2**31)
    """The rank of the matrix of the gates, which is then a product of two. Without it the matrix is full."""
    input_gating: InputGating | None = None
    """Gates of the probabilities by the input. For gates by the probabilities themselves add context_gating."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    @model_validator(mode="after")
    def _has_one_form(self) -> MixtureOfExperts:
        if self.circulant and (self.low_rank or self.input_gating):
            raise ValueError("circulant matrices have no low_rank and no input_gating; leave out one of them")
        return self

    @property
    def gating_norm(self) -> BatchNormSettings | None:
        """The batch normalisation of the gates by the input."""
        return self.input_gating.norm if self.input_gating else None

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
        rank = self.low_rank or features
        parameters = {
            "gates.weight": Parameter((rank, gates), weight_initial(self.initializer, rank, gates)),
            "experts.weight": Parameter((features, experts), weight_initial(self.initializer, features, experts)),
            "experts.bias": Parameter((experts,), bias_initial(self.initializer, features)),
        }
        if self.low_rank:
            first = weight_initial(self.initializer, features, rank)
            parameters["gates_input.weight"] = Parameter((features, rank), first)
        if self.input_gating:
            weight = weight_initial(self.initializer, features, self.classes)
            parameters["gating.weight"] = Parameter((features, self.classes), weight)
            parameters |= {f"gating_norm.{name}": p for name, p in batch_norm_parameters(self.classes).items()}
        return parameters

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"mixture_of_experts needs a vector (features), got {shape}")
        if self.input_gating and self.input_gating.remove_diagonal and shape[0] < self.classes:
            raise ValueError(
                f"input_gating.remove_diagonal needs at least as many features as classes, got {shape[0]} and {self.classes}"
            )
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
            narrow = call.product(x, p["gates_input.weight"]) if self.low_rank else x
            gates, experts = call.product(narrow, p["gates.weight"]), call.product(x, p["experts.weight"])
        gates = softmax(gates.reshape(len(x), self.classes, self.mixtures + 1))
        experts = sigmoid(experts + p["experts.bias"])
        experts = experts.reshape(len(x), self.classes, self.mixtures)  # (videos, classes, mixtures)
        y = (gates[:, :, :-1] * experts).sum(axis=2)  # (videos, classes)
        if not self.input_gating:
            return y
        g = call.product(x, p["gating.weight"])
        if self.input_gating.remove_diagonal:
            g = g - np.diagonal(p["gating.weight"]) * y
        return y * sigmoid(self.input_gating.norm.normalize(g, p, call, prefix="gating_norm."))  # (videos, classes)
