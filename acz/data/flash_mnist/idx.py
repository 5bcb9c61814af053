"""IDX files, the format of MNIST: a magic number, big-endian sizes, then bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from acz.foundation.errors import DataError

MOST_BYTES = 2**31
MOST_PACKED = 1032
"""Bytes that one byte of DEFLATE can stand for (RFC 1951: 258 bytes for two bits)."""


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The unsigned bytes of an IDX file, gzipped or not, in their shape.

    Raises:
        DataError: The file is missing, truncated, too long, or not an IDX file of bytes.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= 4:
                raise DataError(f"{path}: not an IDX file of unsigned bytes (it starts with {head.hex() or 'nothing'})")
            sizes = stream.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{path}: truncated in its header")
            shape = struct.unpack(f">{head[3]}I", sizes)
            if 0 in shape:
                raise DataError(f"{path}: holds nothing: its header announces {' x '.join(map(str, shape))} bytes")
            want = math.prod(shape)
            if want > MOST_BYTES:
                raise DataError(f"{path}: its header announces {want:,} bytes, more than {MOST_BYTES:,}")
            if want > path.stat().st_size * (MOST_PACKED if packed else 1):  # read() would reserve all of it
                raise DataError(f"{path}: truncated: its header announces {want:,} bytes")
            body = stream.read(want + 1)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: can't be read, or truncated: {error}") from None
    if len(body) != want:
        how = "truncated: it holds" if len(body) < want else "too long: it holds more than"
        raise DataError(
            f"{path}: {how} {len(body):,} of {want:,} bytes".replace(f"than {len(body):,} of ", "than the ")
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
