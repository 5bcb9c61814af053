"""Inputs of the tests of TensorFlow's module, for the tiny attention cluster and for models of as many features."""

from __future__ import annotations

import numpy as np

from acz.foundation.arrays import Array

FEATURES = 4
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])


def videos(count: int = 3) -> Array:
    """Frames (count, 5, features), always the same."""
    return np.random.default_rng(0).standard_normal((count, 5, FEATURES)).astype(np.float32)
