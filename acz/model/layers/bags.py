"""Bags: several samplings of one video, one after another on the axis of frames. A layer pools each bag separately."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array
from acz.model.layers.base import Call, Layer


def over_bags(layer: Layer, bag: int, x: Array, p: Mapping[str, Array], call: Call) -> Array:
    """Run a layer on each bag of a video and average its vectors over the bags that have a valid frame.

    The layer sees the bags as videos: in training its batch norm takes the statistics of all bags together.

    Args:
        layer: takes (frames, features) and gives a vector.
        bag: the number of frames of a bag. Padded frames complete a last bag with fewer frames.
        x: (videos, frames, features).
        p: the layer's parameters by local name.
        call: the run. Its mask says which frames are valid.

    Returns:
        (videos, features of the layer). A video without a valid frame gives zeros.

    Source: araujoalexandre/youtube8m-circulant, `n_bagging`.
    """
    videos, frames, features = x.shape
    fill = -frames % bag
    mask = np.ones((videos, frames), dtype=bool) if call.mask is None else call.mask
    valid = _longer(mask, fill).reshape(-1, bag)  # (videos * bags, frames of a bag)
    mask_of_videos, call.mask = call.mask, valid
    y = layer.reference(_longer(x, fill).reshape(-1, bag, features), p, call)
    call.mask = mask_of_videos
    filled = valid.any(axis=1).reshape(videos, -1, 1).astype(x.real.dtype)  # (videos, bags, 1)
    return (y.reshape(*filled.shape[:2], -1) * filled).sum(axis=1) / np.maximum(filled.sum(axis=1), 1)


def _longer(x: Array, fill: int) -> Array:
    """x (videos, frames, ...) with `fill` frames of zeros more."""
    return np.concatenate([x, np.zeros((len(x), fill, *x.shape[2:]), x.dtype)], axis=1)
