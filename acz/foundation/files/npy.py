"""NumPy's .npy files of plain numbers: written whole, and mapped without evaluating anything that they say.

A file is a magic number, a version, the length of a header, the header, then the numbers (numpy.lib.format). The header is text of
Python, which NumPy's own reader evaluates; here it must have the one form in which NumPy writes it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import write_whole

MAGIC = b"\x93NUMPY"
LONGEST = 4096
"""Bytes of a header that is read."""
HEADER = re.compile(
    rb"\{'descr': '([<>|](?:b1|[iu][1248]|f[248]))', 'fortran_order': (False|True), "
    rb"'shape': \((\d{1,18},|\d{1,18}(?:, \d{1,18}){1,7})\), \} *\n"
)


def write_npy(path: Path, value: Array) -> None:
    """Write an array whole or not at all. Raises OSError."""
    value = np.ascontiguousarray(value)

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:
            header = np.lib.format.header_data_from_array_1_0(value)  # type: ignore[no-untyped-call]
            np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
            file.write(value.reshape(-1).view(np.uint8).data)  # np.save's own writing does not say why a disk refuses

    write_whole(path, save)


def map_npy(path: Path) -> Array:
    """The array of a file, mapped read-only; nothing is reserved but addresses.

    Raises DataError where the file is missing or damaged, is empty, or holds anything but numbers.
    """
    try:
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        with path.open("rb") as file:
            head = file.read(12)
            start = (
                12 if head[6:8] == b"\x02\x00" else 10
            )  # where the header begins, after four or two bytes of its length
            if head[:6] != MAGIC or head[6:8] not in (b"\x01\x00", b"\x02\x00"):
                raise DataError(f"{path}: damaged, or not an .npy file (it starts with {head.hex() or 'nothing'})")
            length = int.from_bytes(head[8:start], "little")
            file.seek(start)
            header = HEADER.fullmatch(file.read(length)) if length <= LONGEST else None
            if header is None:
                raise DataError(f"{path}: damaged, or not an array of numbers: its header can't be read")
            size = file.seek(0, 2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read: {error}") from None
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(side) for side in re.findall(rb"\d+", header[3]))
    want = math.prod(shape) * dtype.itemsize
    if want == 0:
        raise DataError(f"{path}: holds no numbers: its shape is {shape}")
    if size - start - length != want:
        raise DataError(
            f"{path}: damaged: {dtype} {shape} takes {want:,} bytes, and {size - start - length:,} are there"
        )
    order = "F" if header[2] == b"True" else "C"
    return np.memmap(path, dtype, "r", start + length, shape, order)  # type: ignore[call-overload]
