"""The features that the records of a shard declare: their names, widths and types, read once before anything starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from acz.data.youtube8m.settings import WIDTHS
from acz.data.youtube8m.shards import cache
from acz.data.youtube8m.shards.messages import full
from acz.data.youtube8m.shards.pickled import declared_by_entries, read_entries
from acz.data.youtube8m.shards.records import BadRecord, contents
from acz.data.youtube8m.shards.video import MEAN, Criteria, Level
from acz.foundation.files.protobuf import NotAMessage

RECORDS = 16
"""Records of a shard that are asked."""
ID_KEYS = ("id", "video_id")
"""The features that hold the id: of today's data set, and of its first edition and AudioSet."""
MEDIAPIPE = re.compile(r"(\w+)/feature/floats")
"""The names that MediaPipe gives to features."""
Facts = tuple[str, str, tuple[tuple[str, str, int, bool], ...]]
"""The level, the id's key; and the name, the key, the width and whether it is of floats, of each modality."""


@dataclass(frozen=True)
class Declared:
    """The features of a shard's records."""

    level: Level
    id_key: str
    widths: dict[str, int]
    """Features of a frame, or of a video, by modality."""
    floats: tuple[str, ...]
    keys: dict[str, str]
    """The names of modalities in the records, where they differ."""

    def criteria(self, classes: int, unlabelled: bool = False, equal_lengths: bool = False) -> Criteria:
        """The demands on records that are like these."""
        return Criteria(
            self.widths, self.floats, self.keys, self.id_key, equal_lengths, classes, unlabelled, self.level
        )

    def has_all_of(self, other: Declared) -> bool:
        """True where records like these can be read as those of another shard."""
        names = set(other.widths)
        return (
            (self.level, self.id_key) == (other.level, other.id_key)
            and all(self.widths.get(name) == width for name, width in other.widths.items())
            and names & set(self.floats) == names & set(other.floats)
            and all(self.keys.get(name, name) == other.keys.get(name, name) for name in names)
        )

    def in_words(self) -> str:
        """The id and the features, for a message."""
        kinds = {name: "float32" if name in self.floats or self.level == "video" else "uint8" for name in self.widths}
        shown = [f"{self.keys.get(name, name)} {width:,} {kinds[name]}" for name, width in self.widths.items()]
        return f"{self.id_key} and, of each {self.level}, {', '.join(shown)}"


DEFAULT = Declared("frame", "id", dict(WIDTHS), (), {})
"""The frame-level files of YouTube-8M, for shards of which no record can be read."""


def declared_by(path: Path) -> Declared:
    """The features of a shard, from the cache or by `read_declared`. Raises DataError where the file can't be read."""
    known = cache.load(path, "declared")
    if known is not None:
        return Declared(**{**known[0], "floats": tuple(known[0]["floats"])})
    declared = read_declared(path)
    if declared is not DEFAULT:
        content = {name: getattr(declared, name) for name in Declared.__dataclass_fields__}
        cache.store(path, "declared", content, np.empty(0, np.int64))
    return declared


def read_declared(path: Path) -> Declared:
    """The features that most of a shard's first records have.

    A modality counts where at least half of these records have it, in the width that most of them have. A shard without
    a readable record counts as one of YouTube-8M's own. Raises DataError where the file can't be read.
    """
    if path.suffix == ".pkl":
        pickled, float_keys = declared_by_entries(read_entries(path))
        return Declared("frame", "id", pickled, float_keys, {}) if pickled else DEFAULT
    facts = list(islice(_facts_of(path), RECORDS))
    if not facts:
        return DEFAULT
    level = Counter(level for level, _, _ in facts).most_common(1)[0][0]
    id_key = Counter(key for _, key, _ in facts).most_common(1)[0][0]
    features = Counter(feature for own_level, _, own in facts if own_level == level for feature in own)
    widths: dict[str, int] = {}
    floats, keys = [], {}
    for (name, key, width, is_float), count in features.most_common():
        if name in widths or 2 * count < len(facts):
            continue
        widths[name] = width
        if is_float and level == "frame":
            floats.append(name)
        if key != name and level == "frame":
            keys[name] = key
    order = [*(name for name in WIDTHS if name in widths), *sorted(name for name in widths if name not in WIDTHS)]
    if not order:
        return DEFAULT
    return Declared(cast(Level, level), id_key, {name: widths[name] for name in order}, tuple(sorted(floats)), keys)


def _facts_of(path: Path) -> Iterator[Facts]:
    """The facts of each record that can be read."""
    try:
        for content in contents(path):
            if isinstance(content, bytes):
                try:
                    yield _facts(full(content))
                except NotAMessage:
                    continue
    except BadRecord:
        return


def _facts(message: Any) -> Facts:
    context, lists = message.context.feature, message.feature_lists.feature_list
    id_key = next((key for key in ID_KEYS if key in context), "id")
    if len(lists):
        return "frame", id_key, tuple(feature for key, frames in lists.items() if (feature := _frame(key, frames)))
    means = tuple(
        (key.removeprefix(MEAN), key, len(value.float_list.value), True)
        for key, value in context.items()
        if key.startswith(MEAN) and len(value.float_list.value)
    )
    return ("video" if means else "frame"), id_key, means


def _frame(key: str, frames: Any) -> tuple[str, str, int, bool] | None:
    """The facts of one list of frames; None where it holds no vectors."""
    if not len(frames.feature):
        return None
    first = frames.feature[0]
    match = MEDIAPIPE.fullmatch(key)
    name = match[1].lower() if match else key
    if len(first.bytes_list.value) == 1:
        return name, key, len(first.bytes_list.value[0]), False
    if len(first.float_list.value) > 1:
        return name, key, len(first.float_list.value), True
    return None


def declared_first(paths: Sequence[Path], declare: Callable[[Path], Declared] = declared_by) -> Declared:
    """The features of the first shard that has a readable record. Raises DataError where a file can't be read."""
    return next((declared for path in paths if (declared := declare(path)) is not DEFAULT), DEFAULT)
