"""Sources of videos: each gives videos by number, and the number of videos in each shard."""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import numpy as np

from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.shards.index import Index
from acz.data.youtube8m.shards.records import TAIL, BadRecord, check_content, unpack
from acz.data.youtube8m.shards.video import Criteria, Video, frame_size, parse
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import name_in_errors

MOST_OPEN = 64
"""Files that are kept open."""


class Source(Protocol):
    """Videos by number."""

    starts: Array
    """int64 (shards + 1): the number of each shard's first video."""
    longest: int
    """No video has more frames."""

    @property
    def widths(self) -> Mapping[str, int]:
        """Features of a frame, or of a video, by modality."""

    @property
    def floats(self) -> Sequence[str]:
        """The modalities whose frames are float32; the others' are uint8."""

    def videos(self, numbers: Array) -> Iterator[Video]:
        """These videos, in this order. Raises DataError that names the file and the record."""


class HeldSource:
    """Videos in memory, by shard."""

    def __init__(self, shards: Sequence[Sequence[Video]], criteria: Criteria) -> None:
        self.criteria = criteria
        self.held = [video for shard in shards for video in shard]
        self.starts = np.cumsum([0, *map(len, shards)])
        self.longest = max(video.frames for video in self.held)
        self.widths = {key: value.shape[-1] for key, value in self.held[0].features.items()}
        self.floats = [key for key, value in self.held[0].features.items() if value.dtype != np.uint8]

    def videos(self, numbers: Array) -> Iterator[Video]:
        return (self.held[number] for number in numbers.tolist())


class Place(NamedTuple):
    """The place of a record's content. `version` tells files apart that had the same path at different times."""

    path: str
    version: int
    offset: int
    length: int
    verified: bool


class Opened:
    """Files that are kept open, the latest MOST_OPEN of them."""

    def __init__(self) -> None:
        self.files: OrderedDict[tuple[str, int], IO[bytes]] = OrderedDict()

    def number(self, path: str, version: int) -> int:
        """The descriptor of a file, which is opened where it is not open. Raises DataError."""
        try:
            file = self.files.pop((path, version), None)
            file = file or open(path, "rb", buffering=0)  # noqa: SIM115 (it stays open)
        except OSError as error:
            raise DataError(f"{path}: can't be read: {error.strerror}") from None
        self.files[path, version] = file
        if len(self.files) > MOST_OPEN:
            self.files.popitem(last=False)[1].close()
        return file.fileno()


class Unpacked:
    """The content of a gzip shard in a file without a name, which is deleted when this process ends in any way."""

    count = 0
    """Files so far, each of which has its number as `version`."""

    def __init__(self, shard: Path) -> None:
        self.file = tempfile.TemporaryFile(prefix="acz-", buffering=0)  # noqa: SIM115 (it stays open)
        Unpacked.count += 1
        self.version = Unpacked.count
        try:
            with name_in_errors(Path(tempfile.gettempdir())):  # the disk is full
                unpack(shard, self.file)
        except BaseException:
            self.file.close()
            raise

    def __del__(self) -> None:
        self.file.close()

    @property
    def path(self) -> str:
        """The path by which other processes open the file. Raises DataError on systems without /proc."""
        path = f"/proc/{os.getpid()}/fd/{self.file.fileno()}"
        if not os.path.exists(path):
            raise DataError("gzip shards are read by one process on this system: --workers 0 does that, or unpack them")
        return path


def read_video(descriptor: int, offset: int, length: int, verified: bool, criteria: Criteria) -> Video:
    """Read one record of an open file. Raises BadRecord, without its place."""
    content = os.pread(descriptor, length, offset)
    tail = os.pread(descriptor, TAIL, offset + length) if verified else b"\0" * TAIL
    if len(content) + len(tail) != length + TAIL:
        raise BadRecord("truncated shard", "the file has become shorter since it was indexed")
    if verified:
        check_content(content, tail)
    return parse(content, criteria)


class RecordSource:
    """TFRecord shards."""

    def __init__(self, index: Index, criteria: Criteria, reading: Reading) -> None:
        self.index, self.criteria, self.verify = index, criteria, reading.verify
        self.starts = index.starts
        self.widths, self.floats = criteria.widths, criteria.floats
        self.longest = int(index.lengths.max()) // frame_size(criteria)
        self.opened = Opened()
        self.unpacked: OrderedDict[Path, Unpacked] = OrderedDict()
        # A video leaves the shuffle buffer after as many other videos as the buffer holds, on average,
        # and hardly ever after twelve times as many.
        self.most_unpacked = 4 + 12 * reading.shuffle_buffer * len(index.paths) // len(index)

    def places(self, numbers: Array) -> tuple[list[Place], list[Unpacked]]:
        """The place of each record, and the unpacked files that must be kept until they are read."""
        places: list[Place] = []
        kept: dict[int, Unpacked] = {}
        for number, shard in zip(numbers.tolist(), self.index.shard_of(numbers).tolist(), strict=True):
            path, version = str(self.index.paths[shard]), 0
            if self.index.packed[shard]:
                unpacked = kept.setdefault(shard, self._unpacked(self.index.paths[shard]))
                path, version = unpacked.path, unpacked.version
            places.append(Place(path, version, *self._extent(number)))
        return places, list(kept.values())

    def videos(self, numbers: Array) -> Iterator[Video]:
        for number, shard in zip(numbers.tolist(), self.index.shard_of(numbers).tolist(), strict=True):
            path = self.index.paths[shard]
            packed = self.index.packed[shard]
            descriptor = self._unpacked(path).file.fileno() if packed else self.opened.number(str(path), 0)
            try:
                yield read_video(descriptor, *self._extent(number), self.criteria)
            except BadRecord as error:
                raise self.bad(error, number) from None
            except OSError as error:
                raise DataError(f"{path}: can't be read: {error.strerror}") from None

    def bad(self, error: BadRecord, number: int) -> BadRecord:
        """The same error with its place, and the setting that leaves the record out."""
        shard = int(self.index.shard_of(np.array([number]))[0])
        placed = error.at(self.index.paths[shard], int(self.index.records[number]))
        return BadRecord(error.kind, f"{placed}; --on-bad-record skip leaves such records out")

    def _extent(self, number: int) -> tuple[int, int, bool]:
        """Offset and length of a record, and True where its checksum is compared."""
        first = self.verify == "first" and self.index.records[number] == 0
        return int(self.index.offsets[number]), int(self.index.lengths[number]), bool(first) or self.verify == "all"

    def _unpacked(self, path: Path) -> Unpacked:
        file = self.unpacked.pop(path, None) or Unpacked(path)
        self.unpacked[path] = file
        if len(self.unpacked) > self.most_unpacked:
            self.unpacked.popitem(last=False)
        return file
