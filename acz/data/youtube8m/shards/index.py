"""Where every record of a data set lies: found from the heads of the records, without reading their contents."""

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
    """The records of some shards, in order; one number each. Arrays are int64.

    `starts` (shards + 1) is the number of each shard's first record; `offsets` and `lengths` (records) say where contents lie in their shards, unpacked ones
    in gzip shards; `records` (records) is each one's number in its shard, where damaged ones were left out. `defects` counts those by kind.
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
    """The index of these shards, in their order. With `skip` every record that was not seen before is read, and damaged ones are left out.

    Raises DataError where a file is missing, where a shard is cut off (without `skip`), or where nothing is left.
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
                f"{layout.cut.at(path, len(layout.lengths))}; fetch the shard anew, or add on_bad_record: skip to leave it out from there"
            )
        bad = bad_records(path, criteria) if skip else {}
        defects.update(one.kind for one in bad.values())
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
    where, size, record = (np.concatenate(parts).astype(np.int64) for parts in (offsets, lengths, records))
    return Index(list(paths), packed, starts, where, size, record, defects)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None
