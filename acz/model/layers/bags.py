"""Bags: several samplings of one video, one after another on the axis of frames, each taken together by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array
from acz.model.layers.base import Call, Layer


def over_bags(layer: Layer, bag: int, x: Array, p: Mapping[str, Array], call: Call) -> Array:
    """The layer's vectors of a video's bags of `bag` frames, averaged over the bags that have a valid frame.

    x (videos, frames, features) to (videos, features of the layer). A last bag with fewer frames is filled up with padded ones; a
    video without a valid frame gives zeros. To the layer the bags are videos: in training its batch norm takes the statistics of
    all of them at once. Source: araujoalexandre/youtube8m-circulant, `n_bagging`.
    """
    videos, frames, features = x.shape
    fill = -frames % bag
    mask = np.ones((videos, frames), dtype=bool) if call.mask is None else call.mask
    valid = np.pad(mask, ((0, 0), (0, fill))).reshape(-1, bag)  # (videos * bags, frames of a bag)
    whole, call.mask = call.mask, valid
    y = layer.reference(np.pad(x, ((0, 0), (0, fill), (0, 0))).reshape(-1, bag, features), p, call)
    call.mask = whole
    held = valid.any(axis=1).reshape(videos, -1, 1).astype(x.real.dtype)  # (videos, bags, 1)
    return (y.reshape(*held.shape[:2], -1) * held).sum(axis=1) / np.maximum(held.sum(axis=1), 1)
