"""NumPy's .npy files of plain numbers and texts: written atomically, and read without evaluating their headers.

A file is a magic number, a version, the length of a header, the header, then the numbers (numpy.lib.format). The header
is text in Python, which NumPy's own reader evaluates. Here it must have the one form in which NumPy writes it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import write_atomically

MAGIC = b"\x93NUMPY"
LONGEST = 4096
"""Bytes of a header that is read."""
HEADER = re.compile(
    rb"\{'descr': '([<>|](?:b1|[iu][1248]|f[248]|U\d{1,6}))', 'fortran_order': (False|True), "
    rb"'shape': \((\d{1,18},|\d{1,18}(?:, \d{1,18}){1,7})\), \} *\n"
)


class Header(NamedTuple):
    """The header of a file: dtype, shape and order of the numbers, and the byte where they begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    end: int


def read_header(file: IO[bytes]) -> Header:
    """Read the header at the beginning of a file.

    Raises ValueError where it does not have the form in which NumPy writes it.
    """
    start = file.read(8)
    if start[:6] != MAGIC or start[6:] not in (b"\x01\x00", b"\x02\x00"):
        raise ValueError(f"not an .npy file (it starts with {start.hex() or 'nothing'})")
    size = file.read(2 if start[6] == 1 else 4)
    length = int.from_bytes(size, "little")
    text = file.read(length) if length <= LONGEST else b""
    header = HEADER.fullmatch(text)
    if header is None and b"'descr': '|O'" in text:
        raise ValueError("an array of Python objects, which are not read; save numbers, or lists as JSON")
    if header is None:
        raise ValueError("not an array of numbers: its header can't be read")
    shape = tuple(int(side) for side in re.findall(rb"\d+", header[3]))
    return Header(np.dtype(header[1].decode()), shape, header[2] == b"True", len(start) + len(size) + length)


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Write the header of an array in C order. Raises OSError."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}  # type: ignore[no-untyped-call]
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]


def write_npy(path: Path, value: Array) -> None:
    """Write an array completely or not at all. Raises OSError."""
    value = np.ascontiguousarray(value)

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            write_header(file, value.shape, value.dtype)
            file.write(value.reshape(-1).view(np.uint8).data)  # np.save does not say why a disk refuses

    write_atomically(path, save)


def map_npy(path: Path, texts: bool = False) -> Array:
    """The array of a file, mapped read-only, so that it takes addresses and no memory.

    Args:
        path: The file.
        texts: True where the array may hold texts.

    Raises:
        DataError: The file is missing, damaged or empty, or holds something other than numbers (or texts).
    """
    try:
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        with path.open("rb") as file:
            try:
                header = read_header(file)
            except ValueError as error:
                raise DataError(f"{path}: damaged, or {error}") from None
            size = file.seek(0, 2)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error}") from None
    dtype, shape = header.dtype, header.shape
    if dtype.kind == "U" and not texts:
        raise DataError(f"{path}: damaged, or not an array of numbers: it holds texts")
    want = math.prod(shape) * dtype.itemsize
    if want == 0:
        raise DataError(f"{path}: holds no numbers: its shape is {shape}")
    if size - header.end != want:
        raise DataError(f"{path}: damaged: {dtype} {shape} takes {want:,} bytes, and {size - header.end:,} are there")
    order: Literal["F", "C"] = "F" if header.fortran else "C"
    return np.memmap(path, dtype, "r", header.end, shape, order)
