"""Plain safetensors files of any program: the length of a header, the header as JSON, the arrays' bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from acz.exchange.weights.readers.contents import Contents, array_over
from acz.exchange.weights.readers.nested import choose_weights
from acz.foundation.errors import DataError

TYPES = {
    "BOOL": "b1", "U8": "u1", "I8": "i1", "U16": "u2", "I16": "i2", "U32": "u4", "I32": "i4", "U64": "u8", "I64": "i8",
    "F16": "f2", "BF16": "u2", "F32": "f4", "F64": "f8",
}  # fmt: skip
METADATA = "__metadata__"
MOST_HEADER = 100_000_000
"""The longest header that the format allows."""


def is_safetensors(path: Path) -> bool:
    """True for a file that begins as this format does. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size


def read_header(path: Path) -> dict[str, Any]:
    """Read the header. Raises DataError where it is damaged."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(path.stat().st_size, MOST_HEADER):
            raise DataError(f"{path}: damaged: a header of {length:,} bytes")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: damaged: {error}") from None
    if not isinstance(header, dict):
        raise DataError(f"{path}: damaged: its header is not a JSON object")
    return header


def is_checkpoint(path: Path) -> bool:
    """True where acz wrote the file: its metadata say so. Raises DataError where the header is damaged."""
    metadata = read_header(path).get(METADATA)
    return isinstance(metadata, dict) and "acz" in metadata


def read_safetensors(path: Path, key: str | None = None) -> Contents:
    """Read the arrays of a file. Those of bfloat16 come as float32, with the same values.

    Raises:
        DataError: the file is damaged, or an array has a type that is not read.
    """
    header, content = read_header(path), path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    arrays = {}
    for name, about in header.items():
        if name == METADATA:
            continue
        what = f"{path}: '{name}'"
        try:
            dtype, shape, (start, end) = about["dtype"], tuple(about["shape"]), about["data_offsets"]
            if not all(type(number) is int for number in (*shape, start, end)) or start < 0:
                raise ValueError("a place or a shape that is not a number")
            kind = TYPES.get(dtype)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{what}: damaged: {error}") from None
        if kind is None:
            raise DataError(f"{what} is {dtype}, which is not read")
        value = array_over(content[begin + start : begin + end], shape, kind, what)
        if dtype == "BF16":  # the upper half of a float32
            value = (value.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = value
    return choose_weights(arrays, key)
