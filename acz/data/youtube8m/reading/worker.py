"""The process that reads: `python -m acz.data.youtube8m.reading.worker DESCRIPTOR`.

The first line of its standard input is its setup; each further line is a task. It puts the videos of some rows into
shared memory, the file of that descriptor, and answers with one line. Lines are JSON. It ends with its input, which
ends with the process that started it.
"""

from __future__ import annotations

import json
import mmap
import sys
from typing import Any

import numpy as np

from acz.data.youtube8m.reading.batch import Form, fill
from acz.data.youtube8m.reading.sources import Opened, Place, read_video
from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.shards.records import BadRecord
from acz.data.youtube8m.shards.video import Criteria
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError
from acz.foundation.processes.environment import configure_process
from acz.foundation.processes.json_lines import answer_lines

ALIGNMENT = mmap.ALLOCATIONGRANULARITY
"""Slots and arrays begin at a multiple of it, as mmap wants it: 4 KiB on x86-64, 16 or 64 KiB on many arm64 systems."""


def slot_size(form: Form, videos: int) -> int:
    """Bytes that a batch takes in shared memory."""
    return sum(_aligned(videos * _row(shape, dtype)) for shape, dtype in form.shapes().values())


def arrays_at(memory: Any, form: Form, videos: int) -> dict[str, Array]:
    """The arrays of a batch over shared memory, one after the other; each begins on a new page."""
    arrays, at = {}, 0
    for name, (shape, dtype) in form.shapes().items():
        size = videos * _row(shape, dtype)
        arrays[name] = np.frombuffer(memory, dtype, size // np.dtype(dtype).itemsize, at).reshape(videos, *shape)
        at += _aligned(size)
    return arrays


def _row(shape: tuple[int, ...], dtype: str) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize


def _aligned(size: int) -> int:
    return max(-(-size // ALIGNMENT), 1) * ALIGNMENT


class _Reader:
    """The state of a worker between tasks."""

    def __init__(self, descriptor: int, setup: dict[str, Any]) -> None:
        self.descriptor = descriptor
        reading = Reading.model_validate(setup["reading"])
        self.form = Form(tuple(setup["names"]), setup["widths"], tuple(setup["floats"]), setup["frames"], reading)
        self.criteria = Criteria(**setup["criteria"])
        self.videos: int = setup["videos"]
        self.opened = Opened()
        self.slots: dict[int, dict[str, Array]] = {}

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """Fill rows `row`, `row` + 1, ... of a slot. Returns the videos' ids, or the first bad video and its error."""
        arrays = self._arrays(task["slot"])
        ids: list[str] = []
        for place in map(Place._make, task["places"]):
            try:
                descriptor = self.opened.number(place.path, place.version)
                video = read_video(descriptor, *place[2:], self.criteria)
                fill(arrays, task["row"] + len(ids), video, self.form, task["seed"], task["epoch"])
            except BadRecord as error:
                return {"bad": len(ids), "kind": error.kind, "what": str(error)}
            except AczError as error:
                return {"error": str(error)}
            except OSError as error:
                return {"error": f"{place.path}: can't be read: {error.strerror}"}
            ids.append(video.id)
        return {"ids": ids}

    def _arrays(self, slot: int) -> dict[str, Array]:
        if slot not in self.slots:
            size = slot_size(self.form, self.videos)
            memory = mmap.mmap(self.descriptor, size, offset=slot * size)
            self.slots[slot] = arrays_at(memory, self.form, self.videos)
        return self.slots[slot]


def main(descriptor: str) -> None:
    """Answer tasks until the input ends."""
    configure_process(1)
    setup = sys.stdin.readline()
    if setup:
        answer_lines(_Reader(int(descriptor), json.loads(setup)).run)


if __name__ == "__main__":
    main(sys.argv[1])
