"""Reading and judging every record of a shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from acz.data.youtube8m.settings import MOST_FRAMES
from acz.data.youtube8m.shards import cache
from acz.data.youtube8m.shards.records import BadRecord, Kind, contents
from acz.data.youtube8m.shards.video import Criteria, Video, level_of, parse

CUT = f"more than {MOST_FRAMES} frames"
"""Counted apart from the defects: such videos are cut."""
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
    named: list[str] = field(default_factory=list)

    def add(self, record: Video | BadRecord) -> None:
        """Count one record."""
        if isinstance(record, BadRecord):
            self.defects[record.kind] += 1
            if len(self.named) < MOST_NAMED:
                self.named.append(str(record))
            return
        self.videos += 1
        self.frames += record.frames
        self.labels.update(record.labels)
        self.cut += record.is_cut


def judged(path: Path, criteria: Criteria) -> Iterator[Video | BadRecord]:
    """Each record of a shard as a video or an error with its place.

    A shard that ends early gives an error at its end.
    """
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


def first_level(path: Path) -> str:
    """The level of a shard, by its first readable record; `frame` where it has none."""
    try:
        for content in contents(path):
            if isinstance(content, bytes):
                try:
                    return level_of(content)
                except BadRecord:
                    continue
    except BadRecord:
        pass
    return "frame"


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
