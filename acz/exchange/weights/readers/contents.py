"""The contents of a file of weights, and arrays over its bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array, Shape
from acz.foundation.errors import DataError

MOST_AXES = 32
"""The most axes of an array in NumPy 1. More would also make their product slow."""


@dataclass
class Contents:
    """The contents of a file: arrays by name, or in order where the file records no names."""

    named: dict[str, Array] = field(default_factory=dict)
    unnamed: list[Array] = field(default_factory=list)
    name: str = ""
    """The name of the checkpoint, where the given path has another."""
    files: list[Path] = field(default_factory=list)
    """The files that were read, where they are not the given path alone."""
    notes: list[str] = field(default_factory=list)
    """Remarks on what of the file was taken, for the person who converts."""


def size_of(shape: Shape, dtype: str, what: str) -> int:
    """Compute the bytes of an array, without overflow.

    Args:
        shape: the shape in the file.
        dtype: NumPy's name of the type.
        what: the array, for errors.

    Raises:
        DataError: the shape is not valid.
    """
    if len(shape) > MOST_AXES:
        raise DataError(f"{what}: has {len(shape):,} axes; at most {MOST_AXES} are read")
    size = np.dtype(dtype).itemsize
    for side in shape:
        if side < 0:
            raise DataError(f"{what}: the shape {shape} is not valid")
        size *= side
    return size


def array_over(data: bytes, shape: Shape, dtype: str, what: str) -> Array:
    """Make an array over its little-endian bytes.

    Args:
        data: the bytes.
        shape: the shape in the file.
        dtype: NumPy's name of the type.
        what: the array, for errors.

    Raises:
        DataError: the shape is not valid, or needs another number of bytes.
    """
    size = size_of(shape, dtype, what)
    if size != len(data):
        raise DataError(f"{what}: {dtype} {shape} needs {size:,} bytes, the file holds {len(data):,}")
    try:
        return np.ndarray(shape, np.dtype(dtype).newbyteorder("<"), data)
    except ValueError as error:  # of an empty array, sides that no array has
        raise DataError(f"{what}: the shape {shape} can't be had: {error}") from None
