"""TFRecord framing: length, masked checksums, content. TensorBoard and YouTube-8M both use it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

MASK = 0xA282EAD8


def masked(content: bytes) -> int:
    """The masked CRC32C of some bytes."""
    plain = google_crc32c.value(content)
    return ((plain >> 15 | plain << 17) + MASK) & 0xFFFFFFFF


def framed(content: bytes) -> bytes:
    """The bytes of a record with this content."""
    length = struct.pack("<Q", len(content))
    return b"".join((length, struct.pack("<I", masked(length)), content, struct.pack("<I", masked(content))))


def read_records(path: Path) -> Iterator[bytes]:
    """The contents of a record file, up to the first record that is cut off or damaged. Raises OSError."""
    content, place = path.read_bytes(), 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        end = place + 12 + length
        if end + 4 > len(content):
            return
        head, message = content[place : place + 8], content[place + 12 : end]
        stored = (struct.unpack_from("<I", content, place + 8)[0], struct.unpack_from("<I", content, end)[0])
        if stored != (masked(head), masked(message)):
            return
        yield message
        place = end + 4
