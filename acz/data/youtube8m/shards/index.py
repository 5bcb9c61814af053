"""The place of every record of a data set, from the heads of the records, without reading their contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from acz.data.youtube8m.shards import cache
from acz.data.youtube8m.shards.check import bad_records
from acz.data.youtube8m.shards.records import BadRecord, Kind, Layout, scan
from acz.data.youtube8m.shards.video import Criteria
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


@dataclass(frozen=True)
class Index:
    """The records of some shards, in order; each has a number. Arrays are int64.

    `starts` (shards + 1) is the number of each shard's first record. `offsets` and `lengths` (records) are the places
    of the contents in their shards, or in the unpacked gzip shards. `records` (records) are the numbers of the records
    in their shards, which differ where damaged records were left out. `defects` counts the damaged records by kind.
    """

    paths: list[Path]
    packed: list[bool]
    starts: Array
    offsets: Array
    lengths: Array
    records: Array
    defects: Counter[str]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def shard_of(self, numbers: Array) -> Array:
        """The shard of each record, int64 (records)."""
        return np.searchsorted(self.starts, numbers, side="right") - 1


def layout_of(path: Path) -> Layout:
    """A shard's layout, from the cache or by scanning it. Raises DataError."""
    known = cache.load(path, "layout")
    if known is not None:
        facts, lengths = known
        cut = facts["cut"] and BadRecord(cast(Kind, facts["cut"][0]), facts["cut"][1])
        return Layout(lengths, bool(facts["packed"]), cut or None)
    layout = scan(path)
    facts = {"packed": layout.packed, "cut": layout.cut and [layout.cut.kind, str(layout.cut)]}
    cache.store(path, "layout", facts, layout.lengths)
    return layout


def build_index(
    paths: Sequence[Path],
    criteria: Criteria,
    skip: bool = False,
    progress: Callable[[str, int, int], Any] = lambda what, done, total: None,
) -> Index:
    """Build the index of these shards, in their order.

    Args:
        paths: The shards.
        criteria: The demands on a record.
        skip: Read every record of a new shard, and leave out the damaged ones.
        progress: Is called with a task, the bytes that are done, and all of them.

    Raises:
        DataError: A file is missing, a shard is cut off (without `skip`), or no record is left.
    """
    total = sum(_size(path) for path in paths)
    done = 0
    what = "checking every record" if skip else "finding the records"
    offsets, lengths, records, packed = [], [], [], []
    defects: Counter[str] = Counter()
    for path in paths:
        layout = layout_of(path)
        if layout.cut is not None and not skip:
            raise DataError(
                f"{layout.cut.at(path, len(layout.lengths))}; download the shard again, "
                "or leave it out from there with --on-bad-record skip"
            )
        bad = bad_records(path, criteria) if skip else {}
        defects.update(error.kind for error in bad.values())
        good = np.array([number not in bad for number in range(len(layout.lengths))], bool) if bad else slice(None)
        offsets.append(layout.offsets[good])
        lengths.append(layout.lengths[good])
        records.append(np.arange(len(layout.lengths))[good])
        packed.append(layout.packed)
        done += _size(path)
        progress(what, done, total)
    starts = np.cumsum([0, *map(len, lengths)])
    if starts[-1] == 0:
        raise DataError(f"{paths[0].parent}: {len(paths)} shards and no {'good ' if skip else ''}record in them")
    places, sizes, numbers = (np.concatenate(parts).astype(np.int64) for parts in (offsets, lengths, records))
    return Index(list(paths), packed, starts, places, sizes, numbers, defects)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None
