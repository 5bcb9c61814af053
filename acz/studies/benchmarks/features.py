"""Reading a data set of features."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from acz.data.folder import Split, write_manifest, write_shard
from acz.foundation.randomness import generator
from acz.studies.benchmarks.measure import Bench, Row

VIDEOS = 20_480


def write_features(folder: Path, videos: int) -> None:
    """A data set of random features in the shape of Flash-MNIST's."""
    splits = {}
    for split, count in (("train", videos), ("test", 64)):
        labels = np.arange(count, dtype=np.int64) % 1024
        features = (
            generator(0, "bench").standard_normal((count, 25, 50)).astype(np.float32)
        )  # (videos, frames, features)
        splits[split] = [write_shard(folder, split, 0, {"features": features, "labels": labels})]
    write_manifest(folder, splits, {"what": "benchmark"})


def measure_reading(bench: Bench) -> Iterator[Row]:
    """Batches of features from memory-mapped shards, in an epoch's random order."""
    with tempfile.TemporaryDirectory(prefix="acz-bench-") as place:
        write_features(Path(place), VIDEOS)
        split = Split(Path(place), "train")
        order = np.random.default_rng(0).permutation(len(split))
        speeds = []
        for done in range(bench.rounds):
            bench.shown("data reading", done, bench.rounds)
            start = time.perf_counter()
            for first in range(0, len(order), 256):
                split.take(order[first : first + 256], ["features"])
            speeds.append(len(order) / (time.perf_counter() - start))
        setting = "25 x 50 float32, batch 256, shuffled"
        yield Row("data", "reading", "", setting, median(speeds), "videos/s")
        yield Row("data", "reading", "", setting, median(speeds) * 25 * 50 * 4 / 1e6, "MB/s")
