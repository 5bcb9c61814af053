"""Reading and judging every record of a shard."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from acz.data.youtube8m.settings import MOST_FRAMES
from acz.data.youtube8m.shards import cache
from acz.data.youtube8m.shards.pickled import judged_pickle
from acz.data.youtube8m.shards.records import BadRecord, Kind, contents
from acz.data.youtube8m.shards.video import Criteria, Video, parse
from acz.foundation.errors import DataError
from acz.foundation.files.texts import encode_text

CUT = f"more than {MOST_FRAMES} frames"
"""Counted apart from the defects: such videos are cut."""
SHORTENED = "modalities of different lengths"
"""Counted apart from the defects: such videos are cut to the shortest."""
MOST_NAMED = 1000
"""Defects of one shard that are kept one by one; all of them are counted."""


@dataclass
class Report:
    """The records of some shards: good videos, defects by kind, and each defect in words."""

    videos: int = 0
    frames: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    shortened: int = 0
    named: list[str] = field(default_factory=list)
    ids: array[int] = field(default_factory=lambda: array("Q"))
    """64 bits of a hash of each good video's id."""
    shards: list[tuple[Path, int]] = field(default_factory=list)
    """Each shard, and the number of good videos before it."""

    def add(self, record: Video | BadRecord) -> None:
        """Count one record."""
        if isinstance(record, BadRecord):
            self.defects[record.kind] += 1
            if len(self.named) < MOST_NAMED:
                self.named.append(str(record))
            return
        self.ids.append(int.from_bytes(hashlib.blake2b(encode_text(record.id), digest_size=8).digest(), "little"))
        self.videos += 1
        self.frames += record.frames
        self.labels.update(record.labels)
        self.cut += record.is_cut
        self.shortened += record.shortened

    def count_repeated(self) -> None:
        """Count the videos that came before, in the same shard or another, as defects. Call it once, at the end."""
        _, first, place = np.unique(np.frombuffer(self.ids, np.uint64), return_index=True, return_inverse=True)
        again = np.flatnonzero(first[place] != np.arange(len(self.ids)))
        starts = np.array([start for _, start in self.shards], np.int64)
        owners = np.searchsorted(starts, again, side="right") - 1
        for owner, count in zip(*np.unique(owners, return_counts=True), strict=True):
            earliest = first[place[again[np.argmax(owners == owner)]]]
            other = self.shards[int(np.searchsorted(starts, earliest, side="right")) - 1][0]
            self.defects["video twice"] += int(count)
            self.named.append(
                f"{self.shards[owner][0]}: {count:,} of its videos came before, the first in {other.name}"
            )
        self.videos -= len(again)


def judged(path: Path, criteria: Criteria) -> Iterator[Video | BadRecord]:
    """Each record of a shard as a video or an error with its place.

    A shard that ends early gives an error at its end, one without records an error alone, and so does one that can't be
    read. Pickles of shards are read, too.
    """
    if path.suffix == ".pkl":
        yield from judged_pickle(path, criteria)
        return
    number = 0
    try:
        for number, content in enumerate(contents(path)):
            try:
                yield parse(content, criteria) if isinstance(content, bytes) else content.at(path, number)
            except BadRecord as error:
                yield error.at(path, number)
            number += 1
    except BadRecord as error:
        yield error.at(path, number)
    except DataError as error:
        yield BadRecord("unreadable shard", str(error))
    else:
        if number == 0:
            yield BadRecord("empty shard", f"{path}: holds no record")


def bad_records(path: Path, criteria: Criteria) -> dict[int, BadRecord]:
    """The records of a shard that `on_bad_record: skip` leaves out, by number.

    The shard is read once; the answer is kept in the cache. Raises DataError.
    """
    what = f"bad {sorted(asdict(criteria).items())}"
    known = cache.load(path, what)
    if known is None:
        errors = {
            number: record for number, record in enumerate(judged(path, criteria)) if isinstance(record, BadRecord)
        }
        texts = [[error.kind, str(error)] for error in errors.values()]
        cache.store(path, what, {"said": texts}, np.array(list(errors), np.int64))
        return errors
    facts, numbers = known
    return {
        int(number): BadRecord(cast(Kind, kind), text)
        for number, (kind, text) in zip(numbers, facts["said"], strict=True)
    }
