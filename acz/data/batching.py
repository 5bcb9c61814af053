"""Batches of one size, so that a model compiles once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array

BATCH = 512


def padded(inputs: Mapping[str, Array], size: int) -> dict[str, Array]:
    """The inputs with empty videos added up to `size`: an output depends on no other video, and one shape compiles once."""
    return {
        name: np.concatenate([value, np.zeros((size - len(value), *value.shape[1:]), value.dtype)])
        if len(value) < size
        else value
        for name, value in inputs.items()
    }
