"""A converted folder as a source of videos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from acz.data.folder import Split
from acz.data.youtube8m.shards.video import Video
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.texts import decode_text


class MappedSource:
    """A split of a converted folder. Raises DataError where it is damaged."""

    def __init__(self, folder: Path, name: str) -> None:
        self.split = Split(folder, name)
        self.starts = self.split.starts
        needed = {"rgb", "audio", "rgb.lengths", "audio.lengths", "id"}
        missing = needed - set(self.split.shards[0])
        if missing:
            raise DataError(f"{folder}/{name}: no '{min(missing)}' in its shards; convert them again")
        self.longest = self.split.shards[0]["rgb"].shape[1]
        self.classes = self.split.shards[0]["labels"].shape[-1]

    def videos(self, numbers: Array) -> Iterator[Video]:
        shards = np.searchsorted(self.starts, numbers, side="right") - 1
        for number, index in zip(numbers.tolist(), shards.tolist(), strict=True):
            shard, row = self.split.shards[index], number - int(self.starts[index])
            lengths = {int(shard[f"{key}.lengths"][row]) for key in ("rgb", "audio")}
            length = lengths.pop()
            if lengths or not 0 < length <= self.longest:
                raise DataError(f"{self.split.folder}/{self.split.name}: video {number} has a damaged number of frames")
            features = {key: np.asarray(shard[key][row, :length]) for key in ("rgb", "audio")}
            name = decode_text(bytes(shard["id"][row]).rstrip(b"\0"))
            yield Video(name, np.flatnonzero(shard["labels"][row]).tolist(), features)
