"""Small YouTube-8M shards, whole and damaged."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acz.data.youtube8m.making.synthesize import encode
from acz.foundation.files.tfrecord import framed


def record(name: str, labels: Sequence[int] = (3,), frames: int = 2, audio: int | None = None, seed: int = 0) -> bytes:
    """The content of a record with random bytes; the first byte of each rgb frame is its number."""
    source = np.random.default_rng(seed)
    rgb = source.integers(0, 256, (frames, 1024), np.uint8)
    rgb[:, 0] = np.arange(frames) % 256
    sound = source.integers(0, 256, (frames if audio is None else audio, 128), np.uint8)
    return encode(name, list(labels), {"rgb": rgb, "audio": sound})


def write(path: Path, contents: Sequence[bytes], packed: bool = False) -> Path:
    """A shard of these records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = b"".join(map(framed, contents))
    path.write_bytes(gzip.compress(whole, 1) if packed else whole)
    return path


def write_shards(folder: Path, counts: Sequence[int], packed: Sequence[int] = (), split: str = "train") -> Path:
    """Write shards with these counts of videos, of 1 .. 6 frames; video i of shard s is called `s-i`."""
    for shard, count in enumerate(counts):
        contents = [
            record(f"{shard}-{i}", [(7 * shard + i) % 3862, 3861], 1 + (shard + i) % 6, seed=100 * shard + i)
            for i in range(count)
        ]
        suffix = ".tfrecord.gz" if shard in packed else ".tfrecord"
        write(folder / f"{split}{shard:02d}{suffix}", contents, shard in packed)
    return folder
