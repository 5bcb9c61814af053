"""Opening a split of YouTube-8M: shards, PaddlePaddle's pickles, and folders that `acz data youtube8m convert` made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from acz.data.folder import manifest_hash
from acz.data.youtube8m.location import Location, is_converted, shards_at, split_of
from acz.data.youtube8m.reading.mapped import MappedSource
from acz.data.youtube8m.reading.reader import YouTube8M
from acz.data.youtube8m.reading.sources import HeldSource, RecordSource
from acz.data.youtube8m.settings import WIDTHS, Reading
from acz.data.youtube8m.shards.check import first_level
from acz.data.youtube8m.shards.index import build_index, layout_of
from acz.data.youtube8m.shards.pickled import pickled_videos
from acz.data.youtube8m.shards.video import Criteria, Level
from acz.foundation.errors import DataError
from acz.foundation.progress import progress


def open_youtube8m(
    where: Location, name: str, reading: Reading | None = None, rank: int = 0, world: int = 1
) -> YouTube8M:
    """A split of YouTube-8M, for process `rank` of `world`. Raises DataError that names the file, and the record where it is one."""
    reading = reading or Reading()
    folder = Path(where) if isinstance(where, (str, Path)) else Path(next(iter(where))).parent
    if is_converted(where):
        source = MappedSource(folder, name)
        if source.classes != reading.classes:
            raise DataError(f"{folder}: was converted with {source.classes} classes, and {reading.classes} are wanted")
        return YouTube8M(source, "frame", folder, name, reading, rank, world)
    paths = split_of(where, name)
    if paths[0].suffix == ".pkl":
        criteria = Criteria(WIDTHS, reading.classes, reading.unlabelled)
        held = HeldSource(pickled_videos(paths, criteria, reading.on_bad_record == "skip"))
        return YouTube8M(held, "frame", folder, name, reading, rank, world)
    records = open_records(paths, reading)
    return YouTube8M(records, records.criteria.level, folder, name, reading, rank, world)


def open_records(paths: Sequence[Path], reading: Reading) -> RecordSource:
    """TFRecord shards, in this order. Raises DataError."""
    with progress() as shown:
        level = cast(Level, first_level(paths[0]))
        criteria = Criteria(WIDTHS, reading.classes, reading.unlabelled, level)
        index = build_index(paths, criteria, reading.on_bad_record == "skip", shown)
        if index.defects:
            counted = ", ".join(f"{count} {kind}" for kind, count in sorted(index.defects.items()))
            shown.line(f"{paths[0].parent}: {len(index):,} videos; left out: {counted}")
    return RecordSource(index, criteria, reading)


def youtube8m_hash(where: Location) -> str:
    """What tells one data set from another: names, sizes and the lengths of all records, not every byte of a terabyte. Raises DataError."""
    if isinstance(where, (str, Path)) and is_converted(where):
        return manifest_hash(Path(where))
    whole = hashlib.sha256()
    for path in shards_at(where):
        whole.update(f"{path.name} {path.stat().st_size}\n".encode())
        if path.suffix != ".pkl":
            whole.update(layout_of(path).lengths.tobytes())
    return whole.hexdigest()
