"""The valid frames of padded videos: their numbers, or masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.arrays.features import IN_MEMORY, Features
from acz.data.shards import as_array
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.npy import map_npy


def add_lengths(features: Features, name: str, value: Any) -> Features:
    """Features whose videos have as many valid frames as `value` says, the first ones.

    Args:
        features: Features with frames.
        name: The name of `value`, for messages.
        value: Integers (videos), or a file of them.

    Raises:
        DataError: A number is not one of 0 .. frames; the message has the row.
    """
    origin, lengths = _open(name, value)
    frames = _frames(features, origin)
    if lengths.shape != (features.videos,) or lengths.dtype.kind not in "iu":
        raise DataError(
            f"{origin}: must be integers ({features.videos}), one a video, got {lengths.dtype} {lengths.shape}"
        )
    bad = (lengths < 0) | (lengths > frames)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"{origin}: row {row}: {lengths[row]} valid frames; {features.origin} has {frames} a video")
    return replace(features, lengths=lengths.astype(np.int64))


def add_mask(features: Features, name: str, value: Any) -> Features:
    """Features whose valid frames are those where a mask (videos, frames), or a file of it, is true.

    Valid frames come first where the mask says otherwise; their order stays.

    Raises:
        DataError: The mask has another shape, or a value other than 0 and 1; the message has the row.
    """
    origin, mask = _open(name, value)
    frames = _frames(features, origin)
    if mask.shape != (features.videos, frames) or mask.dtype.kind not in "biuf":
        raise DataError(f"{origin}: must be a mask ({features.videos}, {frames}), got {mask.dtype} {mask.shape}")
    bad = (mask != 0) & (mask != 1)
    if bad.any():
        row, frame = (int(index) for index in np.argwhere(bad)[0])
        raise DataError(f"{origin}: row {row}, frame {frame}: {mask[row, frame]} is neither 0 nor 1")
    valid = mask != 0
    gaps = (~valid[:, :-1] & valid[:, 1:]).any()
    return replace(features, lengths=valid.sum(axis=1), mask=valid if gaps else None)


def _open(name: str, value: Any) -> tuple[str, Array]:
    if isinstance(value, str | Path):
        return str(value), map_npy(Path(value))
    return IN_MEMORY.format(name), as_array(value, IN_MEMORY.format(name))


def _frames(features: Features, origin: str) -> int:
    if len(features.shape) < 2:
        raise DataError(f"{origin}: {features.origin} has no frames; its videos are {features.shape}")
    return features.shape[0]
