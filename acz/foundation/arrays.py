"""Types of arrays and shapes, used in every chapter."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
"""Arrays by name."""
Shape = tuple[int, ...]
