"""Batches of one size, so that a framework compiles a model once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array

BATCH = 512


def padded(inputs: Mapping[str, Array], size: int) -> dict[str, Array]:
    """The inputs, filled up to `size` videos with zeros. The output of a video does not depend on the other videos."""
    return {
        name: np.concatenate([value, np.zeros((size - len(value), *value.shape[1:]), value.dtype)])
        if len(value) < size
        else value
        for name, value in inputs.items()
    }
