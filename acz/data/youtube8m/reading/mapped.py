"""A converted folder as a source of videos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from acz.data.folder import Split
from acz.data.youtube8m.shards.video import MEAN, Level, Video
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.texts import decode_text


class MappedSource:
    """A split of a converted folder. Raises DataError where it is damaged."""

    def __init__(self, folder: Path, name: str) -> None:
        self.split = Split(folder, name)
        self.starts = self.split.starts
        first = self.split.shards[0]
        names = [key.removesuffix(".lengths") for key in first if key.endswith(".lengths")]
        means = [key.removeprefix(MEAN) for key in first if key.startswith(MEAN)]
        self.level: Level = "video" if means and not names else "frame"
        missing = {"id", *names} - set(first) if names or means else {"rgb.lengths"}
        if missing:
            raise DataError(f"{folder}/{name}: no '{min(missing)}' in its shards; convert them again")
        stored = {key: first[key] for key in names} if names else {key: first[MEAN + key] for key in means}
        self.widths = {key: stored[key].shape[-1] for key in sorted(stored, key=lambda key: (key != "rgb", key))}
        self.floats = [key for key in names if first[key].dtype != np.uint8]
        self.longest = first[names[0]].shape[1] if names else 0
        self.classes = first["labels"].shape[-1]

    def videos(self, numbers: Array) -> Iterator[Video]:
        shards = np.searchsorted(self.starts, numbers, side="right") - 1
        for number, index in zip(numbers.tolist(), shards.tolist(), strict=True):
            shard, row = self.split.shards[index], number - int(self.starts[index])
            name = decode_text(bytes(shard["id"][row]).rstrip(b"\0"))
            labels = np.flatnonzero(shard["labels"][row]).tolist()
            if self.level == "video":
                yield Video(name, labels, {MEAN + key: np.asarray(shard[MEAN + key][row]) for key in self.widths})
                continue
            lengths = {int(shard[f"{key}.lengths"][row]) for key in self.widths}
            length = lengths.pop()
            if lengths or not 0 < length <= self.longest:
                raise DataError(f"{self.split.folder}/{self.split.name}: video {number} has a damaged number of frames")
            features = {key: np.asarray(shard[key][row, :length]) for key in self.widths}
            yield Video(name, labels, features)
