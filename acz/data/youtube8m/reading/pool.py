"""Processes that read batches into shared memory. The batches do not depend on the number of processes."""

from __future__ import annotations

import mmap
import os
import selectors
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from acz.data.youtube8m.reading.batch import Form
from acz.data.youtube8m.reading.sources import RecordSource, Unpacked
from acz.data.youtube8m.reading.worker import arrays_at, slot_size
from acz.data.youtube8m.shards.records import BadRecord
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.processes.json_lines import LineProcess

ROWS = 32
"""Videos of one task."""
AHEAD = 2
"""Batches that are read at a time, besides the batch that the consumer has."""


class _Lease:
    """Shared memory of a batch. When the last array over it is deleted, this is too, and the slot is free again."""

    def __init__(self, memory: mmap.mmap, slot: int, free: deque[int]) -> None:
        self.memory, self.slot, self.free = memory, slot, free
        self.__array_interface__ = {
            "data": (np.frombuffer(memory, np.uint8).__array_interface__["data"][0], False),
            "shape": (len(memory),),
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        self.free.append(self.slot)


@dataclass
class Batch:
    """A batch: the videos' numbers, and, when it is read, their arrays and ids."""

    numbers: Array
    seed: int = 0
    epoch: int | None = None
    arrays: dict[str, Array] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    slot: int = -1
    missing: int = 0
    """Tasks that are not answered yet."""


@dataclass(frozen=True)
class _Task:
    batch: Batch
    row: int
    count: int
    held: list[Unpacked]


class _Worker(LineProcess):
    """One process and the tasks that it has."""

    def __init__(self, descriptor: int, setup: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "acz.data.youtube8m.reading.worker", str(descriptor)]
        super().__init__(command, descriptors=[descriptor], own_session=True)
        self.tasks: deque[_Task] = deque()
        self.send(setup)

    def failure(self, how: str) -> DataError:
        return DataError(f"a process that reads videos {how}; with workers: 0 this one reads them")


class Pool:
    """Processes that fill batches of at most `videos` videos. Use one `run` at a time, and `close` at the end."""

    def __init__(self, source: RecordSource, form: Form, videos: int, workers: int) -> None:
        self.source, self.form, self.videos = source, form, videos
        self.size = slot_size(form, videos)
        self.file = _shared_memory()
        self.memories: list[mmap.mmap] = []
        self.free: deque[int] = deque()
        criteria = {**asdict(source.criteria), "widths": dict(source.criteria.widths)}
        setup = {
            "reading": form.reading.model_dump(),
            "names": form.names,
            "widths": dict(form.widths),
            "floats": list(form.floats),
            "frames": form.frames,
            "criteria": criteria,
            "videos": videos,
        }
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()
        try:
            for _ in range(workers):
                worker = _Worker(self.file, setup)
                self.workers.append(worker)
                self.selector.register(worker.stdout, selectors.EVENT_READ, worker)
        except BaseException:
            self.close()
            raise

    @property
    def idle(self) -> bool:
        """True where nothing is being read, so that the pool can be used again."""
        return not any(worker.tasks for worker in self.workers)

    def run(self, wanted: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches with their arrays, in the same order.

        Raises DataError at the first batch that can't be read.
        """
        reading: deque[Batch] = deque()
        waiting: deque[tuple[Batch, int]] = deque()
        while True:
            while len(reading) < AHEAD + 1 and (batch := next(wanted, None)) is not None:
                batch.slot, batch.arrays = self._slot(len(batch.numbers))
                batch.ids = [""] * len(batch.numbers)
                rows = range(0, len(batch.numbers), ROWS)
                batch.missing = len(rows)
                reading.append(batch)
                waiting.extend((batch, row) for row in rows)
            if not reading:
                return
            self._send(waiting)
            while reading[0].missing:
                self._receive()
                self._send(waiting)
            yield reading.popleft()

    def _slot(self, videos: int) -> tuple[int, dict[str, Array]]:
        """A free slot of shared memory, and arrays in it.

        There are a few more slots than the consumer keeps batches.
        """
        try:
            slot = self.free.popleft()
        except IndexError:
            slot = len(self.memories)
            os.ftruncate(self.file, (slot + 1) * self.size)
            self.memories.append(mmap.mmap(self.file, self.size, offset=slot * self.size))
        lease = np.asarray(_Lease(self.memories[slot], slot, self.free))
        return slot, {name: value[:videos] for name, value in arrays_at(lease, self.form, self.videos).items()}

    def _send(self, waiting: deque[tuple[Batch, int]]) -> None:
        """Give each process up to two tasks, so that it has the next one when it has finished the first."""
        while waiting:
            worker = min(self.workers, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) > 1:
                return
            batch, row = waiting.popleft()
            places, held = self.source.places(batch.numbers[row : row + ROWS])
            worker.tasks.append(_Task(batch, row, len(places), held))
            worker.send({"slot": batch.slot, "row": row, "places": places, "seed": batch.seed, "epoch": batch.epoch})

    def _receive(self) -> None:
        """Wait for answers."""
        for key, _ in self.selector.select():
            worker: _Worker = key.data
            for answer in worker.receive():
                task = worker.tasks.popleft()
                if "error" in answer:
                    raise DataError(answer["error"])
                if "bad" in answer:
                    number = int(task.batch.numbers[task.row + answer["bad"]])
                    raise self.source.bad(BadRecord(answer["kind"], answer["what"]), number)
                task.batch.ids[task.row : task.row + task.count] = answer["ids"]
                task.batch.missing -= 1

    def close(self) -> None:
        """End the processes. Batches that the consumer has stay valid."""
        self.selector.close()
        for worker in self.workers:
            with suppress(OSError):
                worker.stdin.close()
        for worker in self.workers:
            worker.close()
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def _shared_memory() -> int:
    """The descriptor of a file in memory without a name; it is deleted with the last process that uses it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("acz-youtube8m")
    with tempfile.TemporaryFile(prefix="acz-") as file:
        return os.dup(file.fileno())
