"""Dropout, of elements or of whole channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.base import Call, Layer


class Dropout(Layer):
    """Drop each element with probability `rate` in training, and scale the others by 1 / (1 - rate).

    `over: channels` drops whole channels of an image (Tompson et al. 2015). In evaluation the layer is the identity.
    """

    type: Literal["dropout"] = "dropout"
    rate: float = Field(ge=0, lt=1)
    """The share that is dropped in training."""
    over: Literal["elements", "channels"] = "elements"
    """Drop single elements, or whole channels of an image."""

    def output_shape(self, shape: Shape) -> Shape:
        if self.over == "channels" and len(shape) != 3:
            raise ValueError(f"dropout over channels needs an image (channels, height, width), got {shape}")
        return shape

    def dropout_masks(self, shape: Shape) -> dict[str, tuple[Shape, float]]:
        if self.rate == 0:
            return {}
        return {"": ((shape[0], 1, 1) if self.over == "channels" else shape, self.rate)}

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return call.dropped(x, self.rate)
