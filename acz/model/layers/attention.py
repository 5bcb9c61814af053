"""Attention cluster (Long et al. 2018, "Attention Clusters: Purely Attention Based Local Feature Integration")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import softmax
from acz.model.layers.base import (
    Call,
    Layer,
    Parameter,
    Role,
    WeightInitial,
    bias_initial,
    constant,
    normal,
    weight_initial,
)
from acz.model.layers.normalize import BatchNormSettings, batch_norm_parameters, l2_normalize

LOWEST = -1e30
"""The score of a padded frame. Its exponential is zero beside any other, also in float32."""


class AttentionCluster(Layer):
    """N attention units over the frames of a video, each with a shifting operation.

    - Scores s = x W + b, or tanh(x W1 + b1) W + b with `hidden`.
    - Weights a = softmax of s over the valid frames (`normalize_over: frames`, as in the paper) or over the units
      (as in one TensorFlow system).
    - v_k = sum_t a[t, k] x[t].
    - u_k = (alpha_k v_k + beta_k) / ||alpha_k v_k + beta_k||_2 * output_scale (paper, section 3.3).
    - The output is u_1 .. u_N.

    Padded frames have no weight. A video without a valid frame has v_k = 0.

    Parameters: hidden.weight (features, hidden), hidden.bias (hidden), score.weight (features or hidden, units);
    score.bias, alpha, beta and score_norm.* (units).

    score.bias is fixed where it cannot change the function: softmax over frames ignores a constant that all frames
    share, and batch normalisation subtracts it. score_norm.bias is fixed before softmax over frames, for the same
    reason.
    """

    type: Literal["attention_cluster"] = "attention_cluster"
    units: int = Field(gt=0, le=2**31)
    """Attention units. Each gives a vector as long as the features."""
    hidden: int | None = Field(default=None, gt=0, le=2**31)
    """The width of a tanh layer before the scores; without it scores are linear."""
    shift: bool = True
    """Scale and shift each unit's vector by learned alpha and beta, and normalise it."""
    shift_start: Literal["normal", "identity", "constant"] = "normal"
    """The starting values of alpha and beta: random, as the authors draw them; 1 and 0; or both units^(-1/4), as in one port."""
    pre_normalize: bool = False
    """L2-normalise each unit's vector before the shift."""
    score_bias: bool = True
    """Add a bias to the scores."""
    score_scale: Literal["1", "1/sqrt(features)"] = "1"
    """The factor of the scores."""
    score_norm: BatchNormSettings | None = None
    """Batch normalisation of the scores."""
    score_dropout: float = Field(default=0.0, ge=0, lt=1)
    """The share of the scores that is dropped in training."""
    normalize_over: Literal["frames", "units"] = "frames"
    """The axis of the softmax: a unit's weights over the frames, or a frame's over the units."""
    output_scale: Literal["1", "1/sqrt(units)"] = "1/sqrt(units)"
    """The factor of the output."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        features, units = shape[-1], self.units
        parameters = {}
        if self.hidden:
            parameters["hidden.weight"] = Parameter(
                (features, self.hidden), weight_initial(self.initializer, features, self.hidden)
            )
            parameters["hidden.bias"] = Parameter((self.hidden,), bias_initial(self.initializer, features))
        fan_in = self.hidden or features
        parameters["score.weight"] = Parameter((fan_in, units), weight_initial(self.initializer, fan_in, units))
        last: Role = "fixed" if self.normalize_over == "frames" and self.score_dropout == 0 else "trained"
        if self.score_bias:
            role = "fixed" if self.score_norm else last
            parameters["score.bias"] = Parameter((units,), bias_initial(self.initializer, fan_in), role)
        if self.score_norm:
            parameters |= {f"score_norm.{name}": p for name, p in batch_norm_parameters(units, last).items()}
        if self.shift:
            spread = units**-0.25  # sqrt(1 / sqrt(N))
            alpha, beta = {
                "normal": (normal(spread), normal(spread)),
                "identity": (constant(1.0), constant(0.0)),
                "constant": (constant(spread), constant(spread)),
            }[self.shift_start]
            parameters["alpha"], parameters["beta"] = Parameter((units,), alpha), Parameter((units,), beta)
        return parameters

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"attention_cluster needs (frames, features), got {shape}")
        return (self.units * shape[1],)

    def dropout_masks(self, shape: Shape) -> dict[str, tuple[Shape, float]]:
        return {"score_dropout": ((shape[0], self.units), self.score_dropout)} if self.score_dropout else {}

    def recorded(self) -> tuple[str, ...]:
        return ("weights",)

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        h = np.tanh(call.product(x, p["hidden.weight"]) + p["hidden.bias"]) if self.hidden else x
        s = call.product(h, p["score.weight"])  # (videos, frames, units)
        if self.score_bias:
            s = s + p["score.bias"]
        if self.score_scale == "1/sqrt(features)":
            s = s / np.sqrt(x.real.dtype.type(x.shape[-1]))
        if self.score_norm:
            s = self.score_norm.normalize(s, p, call, prefix="score_norm.")
        s = call.dropped(s, self.score_dropout, "score_dropout")
        axis = 1 if self.normalize_over == "frames" else 2
        if call.mask is None:
            a = softmax(s, axis)  # (videos, frames, units)
        else:
            valid = call.mask[:, :, None]
            a = softmax(np.where(valid, s, LOWEST) if axis == 1 else s, axis) * valid
        call.record("weights", a)
        v = call.product(np.swapaxes(a, 1, 2), x)  # (videos, units, features)
        if self.pre_normalize:
            v = l2_normalize(v)
        if self.shift:
            v = l2_normalize(p["alpha"][:, None] * v + p["beta"][:, None])
        if self.output_scale == "1/sqrt(units)":
            v = v / np.sqrt(x.real.dtype.type(self.units))
        return v.reshape(len(v), -1)  # (videos, units * features)
