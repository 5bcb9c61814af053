"""Batch normalisation and L2 normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.base import Call, Layer, Parameter, Role, constant


def l2_normalize(x: Array, epsilon: float = 1e-12) -> Array:
    """x / sqrt(max(sum x^2, epsilon)) over the last axis. A zero vector stays zero."""
    return x / np.sqrt(np.maximum((x * x).sum(axis=-1, keepdims=True), epsilon))


def batch_norm_parameters(features: int, bias: Role = "trained") -> dict[str, Parameter]:
    """Give weight, bias, running_mean and running_variance, each (features).

    Args:
        features: the size of the normalised axis.
        bias: the role of the bias, `fixed` where the bias cannot change the function.
    """
    return {
        "weight": Parameter((features,), constant(1.0)),
        "bias": Parameter((features,), constant(0.0), bias),
        "running_mean": Parameter((features,), constant(0.0), "statistic"),
        "running_variance": Parameter((features,), constant(1.0), "statistic"),
    }


class BatchNormSettings(Layer):
    """The settings of batch normalisation. Frameworks differ in every default of them.

    y = (x - mean) / sqrt(variance + epsilon) * weight + bias, with the batch's mean and variance in training, and the
    running ones in evaluation. Padded frames enter no statistic.

    `decay` is the share of the running value that stays at a step. `variance` is the estimate that enters the
    running variance. Training always normalises with the biased estimate.

    Parameters: weight, bias, running_mean and running_variance (features).

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    type: Literal["batch_norm"] = "batch_norm"
    epsilon: float = Field(default=1e-5, gt=0)
    """The number that is added to the variance."""
    decay: float = Field(default=0.9, ge=0, lt=1)
    """The share of the running mean and variance that stays at a step."""
    variance: Literal["biased", "unbiased"] = "biased"
    """The estimate that enters the running variance."""

    def normalize(self, x: Array, p: Mapping[str, Array], call: Call, prefix: str = "") -> Array:
        """Normalise x (videos, ..., features) over all axes but the last. Padded frames enter no statistic.

        Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
        """
        mean, variance = p[f"{prefix}running_mean"], p[f"{prefix}running_variance"]
        if call.training:
            has_padding = call.mask is not None and x.ndim == 3
            rows = x[call.mask] if has_padding else x.reshape(-1, x.shape[-1]).copy()  # (rows, features)
            count = max(len(rows), 1)
            batch_mean = rows.sum(axis=0) / count
            batch_variance = ((rows - batch_mean) ** 2).sum(axis=0) / count
            if call.updated is not None:
                correction = count / max(count - 1, 1) if self.variance == "unbiased" else 1.0
                call.update(f"{prefix}running_mean", self.decay * mean + (1 - self.decay) * batch_mean)
                call.update(
                    f"{prefix}running_variance",
                    self.decay * variance + (1 - self.decay) * correction * batch_variance,
                )
            mean, variance = batch_mean, batch_variance
        return (x - mean) / np.sqrt(variance + self.epsilon) * p[f"{prefix}weight"] + p[f"{prefix}bias"]


class BatchNorm(BatchNormSettings):
    """Batch normalisation of the last axis, or of the channels of an image, over all other axes."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        return batch_norm_parameters(shape[0] if len(shape) == 3 else shape[-1])

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        if x.ndim == 4:  # an image: channels last and back
            return np.moveaxis(self.normalize(np.moveaxis(x, 1, -1), p, call), -1, 1)
        return self.normalize(x, p, call)


class L2Normalize(Layer):
    """x / sqrt(max(sum x^2, epsilon)) over the last axis. A zero vector stays zero."""

    type: Literal["l2_normalize"] = "l2_normalize"
    epsilon: float = Field(default=1e-12, gt=0)
    """The least sum of squares."""

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return l2_normalize(x, self.epsilon)
