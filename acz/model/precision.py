"""Precisions: the types of number that a model computes with."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np


class Precision(Enum):
    """A precision. Its value is its name in backends, in reports and in files."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"

    @property
    def storage(self) -> np.dtype[Any]:
        """The NumPy type of a number of this precision."""
        return np.dtype(self.value)

    @property
    def unit(self) -> float:
        """One unit in the last place of 1: the relative distance between neighbouring numbers."""
        return float(np.finfo(self.storage).eps)
