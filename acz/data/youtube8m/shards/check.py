"""Every record of a shard read and judged."""

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
"""What is counted and is no defect: such videos are cut."""
MOST_NAMED = 1000
"""Defects of one shard that are kept one by one; all are counted."""


@dataclass
class Report:
    """What was found in some shards: good videos, defects by kind, and each defect in words."""

    videos: int = 0
    frames: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, found: Video | BadRecord) -> None:
        """Count one record."""
        if isinstance(found, BadRecord):
            self.defects[found.kind] += 1
            if len(self.named) < MOST_NAMED:
                self.named.append(str(found))
            return
        self.videos += 1
        self.frames += found.frames
        self.labels.update(found.labels)
        self.cut += found.is_cut


def judged(path: Path, criteria: Criteria) -> Iterator[Video | BadRecord]:
    """Each record of a shard as a video, or as what is wrong with it, with its place; a shard that ends early ends with that."""
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
    """`frame` or `video`, by the first record that can be read; `frame` where none can."""
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
    """The records of a shard that `on_bad_record: skip` leaves out, by number. Read once, then remembered. Raises DataError."""
    what = f"bad {sorted(asdict(criteria).items())}"
    known = cache.load(path, what)
    if known is None:
        found = {number: one for number, one in enumerate(judged(path, criteria)) if isinstance(one, BadRecord)}
        said = [[one.kind, str(one)] for one in found.values()]
        cache.store(path, what, {"said": said}, np.array(list(found), np.int64))
    else:
        facts, numbers = known
        said = facts["said"]
        found = {
            int(number): BadRecord(cast(Kind, kind), text) for number, (kind, text) in zip(numbers, said, strict=True)
        }
    return found
