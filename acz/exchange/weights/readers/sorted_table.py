"""Sorted string tables, LevelDB's file format (its doc/table_format.md): keys with values, in the order of the keys.

A table has blocks and a footer of 48 bytes. The footer says where the block of blocks is. A byte for the compression and
the masked CRC32C of both follow each block. A block has entries, restart points, and the number of restart points. An
entry has three numbers and bytes: how many bytes its key shares with the key before, how many bytes of the key follow,
how many bytes the value has, and these bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from acz.foundation.errors import DataError
from acz.foundation.files.protobuf import read_varints
from acz.foundation.files.tfrecord import masked

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
FOOTER, TRAILER = 48, 5
"""Bytes at the end of a table, and after each block."""
LARGEST = 2**24
"""Bytes of a table; one of a thousand variables has some 50,000."""
MOST_ENTRIES, LONGEST_KEY = 2**16, 2**10
COMPRESSION = {1: "snappy"}


def is_table(path: Path) -> bool:
    """True where a file ends like a table. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(MAGIC), 0))
        return file.read() == MAGIC


def read_table(path: Path) -> dict[bytes, bytes]:
    """Read all entries of a table.

    Raises:
        DataError: the table is damaged, compressed or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None
    if len(content) > LARGEST:
        raise DataError(f"{path}: larger than {LARGEST:,} bytes, which no list of variables needs")
    try:
        return entries_of(content)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def entries_of(content: bytes) -> dict[bytes, bytes]:
    """Read all entries of a table from its content.

    Raises:
        DataError: the table is damaged. The message has no path.
    """
    if len(content) < FOOTER or not content.endswith(MAGIC):
        raise DataError("cut off, or no sorted table: it does not end as one does")
    footer = content[-FOOTER : -len(MAGIC)]
    at = read_varints(footer, 0, 2)[1]  # past the place of the block about the table, which is not needed
    entries: dict[bytes, bytes] = {}
    last, end = b"", 0
    for _, place in _entries(_block(content, *read_varints(footer, at, 2)[0])):
        (offset, size), _ = read_varints(place, 0, 2)
        if offset < end:  # so that no block is read twice
            raise DataError(f"its block at byte {offset:,} begins before the one before it ends")
        end = offset + size + TRAILER
        for key, value in _entries(_block(content, offset, size)):
            if entries and key <= last:
                raise DataError(f"its keys are not in order at {key[:80]!r}")
            if len(entries) == MOST_ENTRIES:
                raise DataError(f"more than {MOST_ENTRIES:,} entries")
            entries[key], last = value, key
    return entries


def _block(content: bytes, offset: int, size: int) -> bytes:
    """A block without its trailer. Raises DataError where it is damaged or compressed."""
    end = offset + size
    if end + TRAILER > len(content) - FOOTER:
        raise DataError(f"it announces a block of {size:,} bytes at byte {offset:,}, and has {len(content):,}")
    if masked(content[offset : end + 1]) != int.from_bytes(content[end + 1 : end + TRAILER], "little"):
        raise DataError(f"the block at byte {offset:,} is not what was written: the checksum is wrong")
    if content[end]:
        how = COMPRESSION.get(content[end], f"compression {content[end]}")
        raise DataError(f"the block at byte {offset:,} is compressed ({how}), as TensorFlow writes none")
    return content[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block. Raises DataError where it is damaged."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise DataError(f"a block of {len(block):,} bytes can't have {restarts:,} restart points")
    at, key = 0, b""
    while at < end:
        (shared, added, length), at = read_varints(block, at, 3)
        if shared > len(key) or at + added + length > end:
            raise DataError("an entry is longer than its block, or shares more than the key before it has")
        if shared + added > LONGEST_KEY:
            raise DataError(f"a key of {shared + added:,} bytes; at most {LONGEST_KEY:,} are read")
        key = key[:shared] + block[at : at + added]
        at += added + length
        yield key, block[at - length : at]
