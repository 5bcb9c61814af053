"""Opening a split of YouTube-8M: shards, PaddlePaddle's pickles, and folders that `acz data youtube8m convert` made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from acz.data.base import Description, Location
from acz.data.folder import manifest_hash
from acz.data.youtube8m import settings
from acz.data.youtube8m.location import (
    converted_split,
    count_classes,
    is_converted,
    name_in_files,
    recognises,
    shards_at,
    split_of,
)
from acz.data.youtube8m.reading.mapped import MappedSource
from acz.data.youtube8m.reading.reader import YouTube8M
from acz.data.youtube8m.reading.segments import SegmentSource, require_segments
from acz.data.youtube8m.reading.sources import HeldSource, RecordSource, Source
from acz.data.youtube8m.settings import Reading, Sampling
from acz.data.youtube8m.shards.declared import DEFAULT, Declared, declared_by, declared_first
from acz.data.youtube8m.shards.index import build_index, layout_of
from acz.data.youtube8m.shards.pickled import pickled_videos
from acz.data.youtube8m.shards.video import Criteria, Level
from acz.foundation.errors import DataError
from acz.foundation.progress import Progress, show_progress


class YouTube8MSet:
    """Shards of TFRecords, PaddlePaddle's pickles of them, and folders that `acz data youtube8m convert` made."""

    name = "youtube8m"
    Reading: type[BaseModel] = settings.Reading

    def recognises(self, location: Location) -> bool:
        return recognises(location)

    def open(self, location: Location, split: str, reading: BaseModel, rank: int = 0, world: int = 1) -> YouTube8M:
        assert isinstance(reading, Reading)
        return open_youtube8m(location, split, reading, rank, world)

    def fingerprint(self, location: Location) -> str:
        """A hash of the shards' names, their sizes and the lengths of all records, not of every byte of a terabyte."""
        if is_converted(location):
            assert isinstance(location, (str, Path))
            return manifest_hash(Path(location))
        total = hashlib.sha256()
        for path in shards_at(location):
            total.update(f"{path.name} {path.stat().st_size}\n".encode())
            if path.suffix != ".pkl":
                total.update(layout_of(path).lengths.tobytes())
        return total.hexdigest()

    def describe(self, location: Location) -> Description:
        return Description(count_classes(location))


YOUTUBE8M = YouTube8MSet()


def open_youtube8m(
    location: Location, split: str, reading: Reading | None = None, rank: int = 0, world: int = 1
) -> YouTube8M:
    """Open a split of YouTube-8M, for process `rank` of `world`.

    Raises:
        DataError: The files are missing or damaged; the message names the file, and the record where one is damaged.
    """
    reading = reading or Reading()
    if "classes" not in reading.model_fields_set and (known := count_classes(location)):
        reading = reading.model_copy(update={"classes": known})
    if reading.segments is not None:  # which are read whole, and whose videos need no labels
        reading = reading.model_copy(update={"sampling": Sampling(), "unlabelled": True})
    folder = Path(location) if isinstance(location, (str, Path)) else Path(next(iter(location))).parent
    if is_converted(location):
        split = converted_split(folder, split)
        source = MappedSource(folder, split)
        if source.classes > reading.classes:
            raise DataError(
                f"{folder}: was converted with {source.classes} classes, and {reading.classes} are wanted; "
                f"a model that reads it has {source.classes} outputs or more"
            )
        return _split(source, source.level, folder, split, reading, rank, world)
    paths = split_of(location, split)
    split = name_in_files(location, paths[0]) or split
    records = open_records(paths, reading)
    return _split(records, records.criteria.level, folder, split, reading, rank, world)


def _split(source: Source, level: Level, folder: Path, name: str, reading: Reading, rank: int, world: int) -> YouTube8M:
    """The split of a source: its videos, or their segments. Raises DataError."""
    if reading.segments is not None:
        require_segments(source, reading, level)
        source = SegmentSource(source, reading)
    return YouTube8M(source, level, folder, name, reading, rank, world)


def open_records(paths: Sequence[Path], reading: Reading) -> RecordSource | HeldSource:
    """Open TFRecord shards, or pickles of them, in this order. Raises DataError."""
    skip = reading.on_bad_record == "skip"
    if paths[0].suffix == ".pkl":
        wanted = Criteria(
            classes=reading.classes, unlabelled=reading.unlabelled, equal_lengths=reading.unequal_lengths == "fail"
        )
        return HeldSource(pickled_videos(paths, wanted, skip), wanted)
    with show_progress() as shown:
        criteria = declared_first(paths).criteria(
            reading.classes, reading.unlabelled, reading.unequal_lengths == "fail"
        )
        criteria = replace(criteria, rated=reading.segments == "rated")
        if not skip:
            _require_alike(paths, shown)
        index = build_index(paths, criteria, skip, shown)
        if index.defects:
            counted = ", ".join(f"{count} {kind}" for kind, count in sorted(index.defects.items()))
            shown.line(f"{paths[0].parent}: {len(index):,} videos; left out: {counted}")
    return RecordSource(index, criteria, reading)


def _require_alike(paths: Sequence[Path], shown: Progress) -> None:
    """Raise DataError where a shard's records do not have the features of the first shard's."""
    first: tuple[Path, Declared] | None = None
    for number, path in enumerate(paths, start=1):
        declared = declared_by(path)
        shown("asking the shards for their features", number, len(paths), "shards")
        if declared is DEFAULT:
            continue
        first = first or (path, declared)
        if not declared.has_all_of(first[1]):
            raise DataError(
                f"{path}: its records have {declared.in_words()}, those of {first[0].name} have {first[1].in_words()}; "
                "--on-bad-record skip leaves such records out"
            )
