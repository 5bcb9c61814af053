"""Precisions: the types of number that a model computes with."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError, nearest


class Precision(Enum):
    """A precision. Its value is its name in backends, in reports and in files.

    `float64` and `float32` are the types of every number. The three low ones are about matrix products alone: their
    operands are rounded, and are multiplied and summed in float32. All else is float32, parameters too.
    """

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @property
    def is_low(self) -> bool:
        """True where operands of products are rounded."""
        return self.value in FORMATS

    @property
    def storage(self) -> np.dtype[Any]:
        """The NumPy type of a parameter of this precision."""
        return np.dtype("float32" if self.is_low else self.value)

    @property
    def unit(self) -> float:
        """One unit in the last place of 1: the relative distance between neighbouring numbers."""
        return 2.0 ** (1 - FORMATS[self.value][0]) if self.is_low else float(np.finfo(self.storage).eps)

    def round(self, x: Array) -> Array:
        """x rounded to this precision, to the even neighbour where it lies between two; in the type of x.

        A number beyond the largest becomes infinite. A precision that is not low gives x itself.
        """
        if not self.is_low:
            return x
        digits, least, largest = FORMATS[self.value]
        wide = np.asarray(x, np.float64)
        exponents = np.frexp(wide)[1]  # wide = fraction * 2^exponent, fraction in 1/2 .. 1
        step = np.ldexp(1.0, np.maximum(exponents - digits, least))
        rounded = np.rint(wide / step) * step
        return np.where(np.abs(rounded) > largest, np.copysign(np.inf, wide), rounded).astype(x.dtype)


FORMATS: dict[str, tuple[int, int, float]] = {
    "tf32": (11, -136, 2.0**128 - 2.0**117),
    "bfloat16": (8, -133, 2.0**128 - 2.0**120),
    "float16": (11, -24, 65504.0),
}
"""The low precisions: binary digits of a number, the exponent of the smallest one, and the largest one."""

FULL = (Precision.FLOAT64, Precision.FLOAT32)
"""The precisions of every number, which are compared unless others are asked for."""


def find_precision(name: str) -> Precision:
    """The precision of a name. Raises SpecError that names the nearest one."""
    names = [known.value for known in Precision]
    if name not in names:
        raise SpecError(f"there is no precision '{name}'; {nearest(name, names)}")
    return Precision(name)
