"""Pooling over frames without parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from acz.layers.base import Array, Call, Layer, Shape


class FrameAverage(Layer):
    """The mean of a video's valid frames; zeros for a video without one.

    The baseline of YouTube-8M (Abu-El-Haija et al. 2016, section 4.2).
    """

    type: Literal["frame_average"] = "frame_average"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"frame_average needs (frames, features), got {shape}")
        return (shape[1],)

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        if call.mask is None:
            return x.sum(axis=1) / x.real.dtype.type(x.shape[1])  # (videos, features)
        valid = call.mask[:, :, None].astype(x.real.dtype)
        return (x * valid).sum(axis=1) / np.maximum(valid.sum(axis=1), 1)
