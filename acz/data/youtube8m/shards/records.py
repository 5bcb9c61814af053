"""TFRecord files, plain or gzip: the places of their records, and their checksums.

A record is its length (uint64, little-endian), the masked CRC32C of these eight bytes, its content, and the masked
CRC32C of that (tensorflow/core/lib/io/record_writer). A masked checksum is the checksum rotated right by 15 bits plus a
constant.
"""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Literal

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.tfrecord import masked

HEAD, TAIL = 12, 4
"""Bytes before and after the content of a record."""
LONGEST = 2**26
"""Bytes of a record's content; a video of 300 frames has some 350,000."""
MOST_RECORDS = 2**24
"""Records of a shard; the official ones have a thousand."""
PART = 2**20

Kind = Literal[
    "truncated shard",
    "bad checksum",
    "no message",
    "missing feature",
    "wrong frame size",
    "unequal lengths",
    "no frames",
    "no labels",
    "labels out of range",
    "bad ratings",
    "unreadable shard",
    "empty shard",
    "video twice",
]


class BadRecord(DataError):
    """A record is damaged, or not what is needed. Kinds are counted; `at` adds the file and the record's number."""

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(what)
        self.kind: Kind = kind

    def at(self, path: str | Path, number: int) -> BadRecord:
        """The same error with the record's place; records count from 0."""
        return BadRecord(self.kind, f"{path}: record {number}: {self}")


def length_of(head: bytes) -> int:
    """The length of a record's content, from its first twelve bytes. Raises BadRecord."""
    if len(head) < HEAD:
        raise BadRecord("truncated shard", f"the file ends {len(head)} bytes into the record's head")
    if masked(head[:8]) != int.from_bytes(head[8:], "little"):
        raise BadRecord(
            "bad checksum", "the checksum of its length is wrong, so neither it nor what follows can be found"
        )
    length = int.from_bytes(head[:8], "little")
    if length > LONGEST:
        raise BadRecord("no message", f"it announces {length:,} bytes; at most {LONGEST:,} are read")
    return length


def check_content(content: bytes, tail: bytes) -> None:
    """Raise BadRecord where the content is not what was written."""
    if masked(content) != int.from_bytes(tail, "little"):
        raise BadRecord("bad checksum", "its content is not what was written: the checksum is wrong")


def is_packed(path: Path) -> bool:
    """True for a gzip file. A plain file begins with a length and its right checksum. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if len(head) == HEAD and masked(head[:8]) == int.from_bytes(head[8:], "little"):
        return False
    return head[:2] == b"\x1f\x8b"


@dataclass(frozen=True)
class Layout:
    """The records of a shard, in order.

    `lengths` int64 (records) are those of their contents. `cut` is the error that ended the shard early, if there is
    one.
    """

    lengths: Array
    packed: bool
    cut: BadRecord | None = None

    @property
    def offsets(self) -> Array:
        """The first byte of each content, int64 (records); of a gzip shard, in the unpacked file."""
        sizes = self.lengths + (HEAD + TAIL)
        return np.cumsum(sizes) - sizes + HEAD


def scan(path: Path) -> Layout:
    """Find every record by the heads of the records. Raises DataError where the file can't be read."""
    lengths = array("q")
    cut = None
    with _reading(path):
        packed = is_packed(path)
        try:
            for length in _scan_packed(path) if packed else _scan_plain(path):
                _check_count(path, len(lengths))
                lengths.append(length)
        except BadRecord as error:
            cut = error
    return Layout(np.array(lengths, np.int64), packed, cut)


def _scan_plain(path: Path) -> Iterator[int]:
    with path.open("rb") as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            length = length_of(os.pread(file.fileno(), HEAD, at))
            if at + HEAD + length + TAIL > size:
                raise BadRecord(
                    "truncated shard", f"it announces {length:,} bytes and {max(size - at - HEAD, 0):,} are left"
                )
            yield length
            at += HEAD + length + TAIL


def _scan_packed(path: Path) -> Iterator[int]:
    for length, left in _walk(path):
        while left.remaining:
            left.take(PART)
        yield length


def contents(path: Path) -> Iterator[bytes | BadRecord]:
    """The contents of a shard's records, one after the other; a BadRecord instead of one whose checksum is wrong.

    Raises:
        BadRecord: The shard ends early; the message has no place.
        DataError: The file can't be read, or has too many records.
    """
    for length, left in _walk(path):
        body = left.take(length)
        tail = left.take(TAIL)
        try:
            check_content(body, tail)
        except BadRecord as error:
            yield error
        else:
            yield body


class _Inflated:
    """The content of a gzip file: every byte up to the place where it is cut off or damaged, and then an error."""

    def __init__(self, file: IO[bytes]) -> None:
        self.parts = inflate(file)
        self.buffer, self.at = b"", 0

    def read(self, size: int) -> bytes:
        while len(self.buffer) - self.at < size and (part := next(self.parts, b"")):
            self.buffer, self.at = self.buffer[self.at :] + part, 0
        content = self.buffer[self.at : self.at + size]
        self.at += len(content)
        return content


def inflate(file: IO[bytes]) -> Iterator[bytes]:
    """The content of a gzip file of any number of members, in parts. Raises BadRecord after the last good byte."""
    packed = b""
    try:
        while packed := packed or file.read(PART):
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                if not packed and not (packed := file.read(PART)):
                    raise BadRecord("truncated shard", "the gzip file is cut off here")
                part = member.decompress(packed, PART)
                packed = member.unconsumed_tail if not member.eof else member.unused_data
                if part:
                    yield part
    except zlib.error as error:
        raise BadRecord("truncated shard", f"the gzip file is damaged here ({error})") from None


class _Left:
    """The rest of a record in an open file."""

    def __init__(self, path: Path, file: IO[bytes] | _Inflated, remaining: int) -> None:
        self.path, self.file, self.remaining = path, file, remaining

    def take(self, most: int) -> bytes:
        wanted = min(most, self.remaining)
        parts = []
        while wanted:
            with _reading(self.path):
                part = self.file.read(min(wanted, PART))
            if not part:
                raise BadRecord("truncated shard", f"the file ends {self.remaining:,} bytes before the record does")
            parts.append(part)
            wanted -= len(part)
            self.remaining -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _walk(path: Path) -> Iterator[tuple[int, _Left]]:
    """Each record's length and its content, which must be taken before the next record is asked for."""
    with _reading(path), path.open("rb") as opened:
        file = _Inflated(opened) if is_packed(path) else opened
        for number in count():
            head = file.read(HEAD)
            if not head:
                return
            _check_count(path, number)
            length = length_of(head)
            yield length, _Left(path, file, length + TAIL)


def _check_count(path: Path, number: int) -> None:
    """Raise DataError at the record after the last one that a shard may have."""
    if number >= MOST_RECORDS:
        raise DataError(f"{path}: holds more than {MOST_RECORDS:,} records, the most that are read; split the shard")


def unpack(path: Path, target: IO[bytes]) -> None:
    """Write the content of a gzip file, up to the place where it is cut off or damaged; `scan` finds that place.

    Raises:
        DataError: The file can't be read.
        OSError: The target can't be written.
    """
    with _reading(path):
        file = path.open("rb")
    with file:
        parts = inflate(file)
        while True:
            try:
                with _reading(path):
                    part = next(parts, b"")
            except BadRecord:
                return
            if not part:
                return
            target.write(part)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn an OSError into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None
