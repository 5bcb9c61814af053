"""Processes that read batches into shared memory: its pages, its slots, its size, and a process that dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
from acz.foundation.errors import DataError
from tests.youtube8m_cases import record, write, write_shards

NAMES = ["rgb", "audio"]

PAGES = """
import mmap

mmap.ALLOCATIONGRANULARITY = mmap.PAGESIZE = 65536


class Mapping(mmap.mmap):
    def __new__(cls, descriptor, length, *words, offset=0, **named):
        if offset % 65536:
            raise OSError(22, "Invalid argument")
        return super().__new__(cls, descriptor, length, *words, offset=offset, **named)


mmap.mmap = Mapping
"""
READ = """
import sys
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
data = open_youtube8m(sys.argv[1], "train", Reading(workers=int(sys.argv[2])))
for batch in data.epoch(0, 0, 4, 0, ["rgb", "audio"]):
    print(batch.ids, batch.inputs["rgb"].sum(), batch.inputs["audio"].sum(), batch.labels.sum())
data.close()
"""


def test_workers_read_on_a_system_with_large_pages(tmp_path: Path) -> None:
    """In all processes mmap has the rule of a kernel with pages of 64 KiB, as on many arm64 systems."""
    folder = write_shards(tmp_path / "shards", [20, 21])
    (tmp_path / "sitecustomize.py").write_text(PAGES)
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    texts = [
        subprocess.run(
            [sys.executable, "-c", READ, str(folder), workers], env=here, check=True, capture_output=True, text=True
        ).stdout
        for workers in ("0", "2")
    ]
    assert texts[0] == texts[1]
    assert texts[0].count("\n") == 10


def test_arrays_that_are_kept_stay_as_they_are(tmp_path: Path) -> None:
    data = open_youtube8m(write_shards(tmp_path, [60]), "train", Reading(workers=2))
    kept = list(data.epoch(0, 0, 4, 0, NAMES))
    assert len({id(batch.inputs["rgb"]) for batch in kept}) == 15
    copies = [batch.inputs["rgb"].copy() for batch in kept]
    for batch in data.epoch(0, 1, 4, 0, NAMES):
        assert not any(np.shares_memory(batch.inputs["rgb"], earlier.inputs["rgb"]) for earlier in kept)
    data.close()
    for batch, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(batch.inputs["rgb"], copy)


def test_batches_that_are_not_kept_use_the_same_memory(tmp_path: Path) -> None:
    data = open_youtube8m(write_shards(tmp_path, [200]), "train", Reading(workers=1))
    for batch in data.epoch(0, 0, 4, 0, NAMES):
        del batch
    assert data._pool is not None
    assert len(data._pool.memories) <= 6
    data.close()


def test_a_worker_that_dies_is_an_error_and_the_next_epoch_is_read(tmp_path: Path) -> None:
    data = open_youtube8m(write_shards(tmp_path, [64]), "train", Reading(workers=1))
    list(data.in_order(8, NAMES))
    assert data._pool is not None
    data._pool.workers[0].process.kill()
    with pytest.raises(DataError, match="was ended by SIGKILL"):
        list(data.in_order(8, NAMES))
    assert len(list(data.in_order(8, NAMES))) == 8
    data.close()


MEMORY = """
import resource, sys
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
data = open_youtube8m(sys.argv[1], "train", Reading(workers=int(sys.argv[2])))
for epoch in range(2):
    for batch in data.epoch(0, epoch, 16, 0, ["rgb", "audio"]):
        del batch
data.close()
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_memory_does_not_grow_with_the_number_of_shards(tmp_path: Path, workers: int) -> None:
    contents = [record(f"v{i}", frames=200, seed=i) for i in range(200)]
    peak = {}
    for shards in (1, 40):
        folder = tmp_path / str(shards)
        for shard in range(shards):
            write(folder / f"train{shard:02d}.tfrecord", contents[shard::shards])
        words = [sys.executable, "-c", MEMORY, str(folder), str(workers)]
        peak[shards] = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    assert peak[40] < 1.05 * peak[1] + 2048, peak
