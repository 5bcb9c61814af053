"""Pooling over frames, without parameters, and of a bag with gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import sigmoid
from acz.model.layers.attention import LOWEST
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, weight_initial
from acz.model.layers.normalize import BatchNormSettings, batch_norm_parameters, l2_normalize

Pooling = Literal["max", "mean", "sum", "l2_norm", "variance"]


def pool(kind: Pooling, x: Array, valid: Array) -> Array:
    """Pool the valid frames of each video to one number for each feature.

    `max`, `sum` and `mean`; `l2_norm` is sqrt(sum x^2); `variance` is the biased one, mean (x - mean)^2.

    Args:
        kind: the statistic.
        x: (videos, frames, features).
        valid: bool (videos, frames, 1).

    Returns:
        (videos, features). A video without a valid frame gives zeros.
    """
    if kind == "max":
        return np.where(valid.any(axis=1), np.where(valid, x, x.dtype.type(LOWEST)).max(axis=1), 0)
    if kind == "sum":
        return np.where(valid, x, 0).sum(axis=1)  # (videos, features)
    if kind == "l2_norm":
        s = pool("sum", x * x, valid)
        return s / np.sqrt(np.maximum(s, 1e-12))  # its gradient at 0 is 0, that of the root is infinite
    mean = pool("sum", x, valid) / np.maximum(valid.sum(axis=1), 1).astype(x.real.dtype)
    return mean if kind == "mean" else pool("mean", (x - mean[:, None]) ** 2, valid)


class FramePool(Layer):
    """Statistics of a video's valid frames: one or several of each feature, one after another.

    With `normalize` each statistic is divided by its own L2 norm. A video without a valid frame gives zeros.

    The bags of frames of the papers are this layer after others. Their projection can then be any layer, dense or
    circulant, with batch norm or a bias:

    - mean of the frames, the baseline of YouTube-8M (Abu-El-Haija et al. 2016, section 4.2): frame_pool of `mean`;
    - DBoF (Abu-El-Haija et al. 2016, section 4.2): dense without bias, batch_norm, activation relu6, then frame_pool of
      `max`, `mean` or `l2_norm`; in antoine77340/Youtube-8M-WILLOW without an activation, then frame_pool of `[mean,
      max]` with `normalize`;
    - Soft-DBoF (Miech, Laptev and Sivic 2017, section 3): dense without bias, batch_norm, softmax, then frame_pool of
      `sum` or of `[sum, max]`, with `normalize`;
    - moments: frame_pool of `[mean, variance]`.
    """

    type: Literal["frame_pool"] = "frame_pool"
    pooling: tuple[Pooling, ...] = Field(min_length=1)
    """The statistics, in this order."""
    normalize: bool = False
    """Divide each statistic by its own L2 norm."""

    @field_validator("pooling", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("pooling")
    @classmethod
    def _each_once(cls, value: tuple[Pooling, ...]) -> tuple[Pooling, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a statistic can be named only once")
        return value

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"frame_pool needs (frames, features), got {shape}")
        return (len(self.pooling) * shape[1],)

    def has_kinks(self) -> bool:
        return "max" in self.pooling

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        valid = (np.ones(x.shape[:2], dtype=bool) if call.mask is None else call.mask)[:, :, None]
        pooled = [pool(kind, x, valid) for kind in self.pooling]  # each (videos, features)
        pooled = [l2_normalize(y) for y in pooled] if self.normalize else pooled
        return np.concatenate(pooled, axis=1)  # (videos, statistics * features)


class GatedBag(Layer):
    """A bag of frames, whose sum is gated by its maximum: y = l2_normalize(gates * sum_t a[t]).

    gates = sigmoid(batch_norm(m W1 W2)), with m = l2_normalize(max_t a[t]). The input a is the share of each frame in
    each cluster: dense without bias, batch_norm and softmax come before. A video without a valid frame gives zeros.

    Parameters: squeeze.weight (clusters, hidden), excite.weight (hidden, clusters), norm.* (clusters).

    Source: antoine77340/Youtube-8M-WILLOW, GatedDBoF, where `hidden` is the number of features of a frame.
    """

    type: Literal["gated_bag"] = "gated_bag"
    hidden: int = Field(gt=0, le=2**31)
    """The width between the two products of the gates."""
    norm: BatchNormSettings = BatchNormSettings()
    """Batch normalisation of the gates."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        clusters, hidden = shape[-1], self.hidden
        return {
            "squeeze.weight": Parameter((clusters, hidden), weight_initial(self.initializer, clusters, hidden)),
            "excite.weight": Parameter((hidden, clusters), weight_initial(self.initializer, hidden, clusters)),
            **{f"norm.{name}": p for name, p in batch_norm_parameters(clusters).items()},
        }

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"gated_bag needs (frames, clusters), got {shape}")
        return (shape[1],)

    def recorded(self) -> tuple[str, ...]:
        return ("gates",)

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        valid = (np.ones(x.shape[:2], dtype=bool) if call.mask is None else call.mask)[:, :, None]
        largest = l2_normalize(pool("max", x, valid))  # (videos, clusters)
        g = call.product(call.product(largest, p["squeeze.weight"]), p["excite.weight"])
        g = sigmoid(self.norm.normalize(g, p, call, prefix="norm."))
        call.record("gates", g)
        return l2_normalize(g * pool("sum", x, valid))  # (videos, clusters)
