"""TensorBoard events: the numbers of metrics.jsonl as scalars, under RUN/tensorboard.

tensorboardX makes the messages. This module writes the file: tensorboardX would write it in a thread, and a full disk
ends that thread without a message.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acz.foundation.files.atomic import write_atomically
from acz.foundation.files.tfrecord import framed, read_records

FOLDER = "tensorboard"
PREFIX = "events.out.tfevents."
"""TensorBoard reads files with `tfevents` in their names, in the order of the names."""

TAGS = {
    "train": {
        "loss": "train/loss",
        "top1": "train/top1",
        "learning_rate": "learning_rate",
        "videos_per_second": "videos_per_second",
        "data_wait": "data_wait",
    },
    "evaluation": {
        name: f"evaluation/{name}" for name in ("loss", "top1", "top5", "hit_at_1", "perr", "map", "gap", "map_at_k")
    },
}
"""Maps each kind of line to the scalars of its keys. Lines have the last five where videos have several labels or
rated segments."""

UNUSED = ("torch", "comet_ml", "boto3", "google.cloud")
"""Packages that tensorboardX imports where they are installed. It must not: two frameworks in one process crash."""


class Events:
    """The events of one run. `write` takes a line of the metrics.

    A new object writes the lines before the run's checkpoint to a new file, atomically, and removes the earlier files.
    The file begins with the mark of a new session: a TensorBoard that watches then forgets the lines that a kill undid.

    Args:
        folder: RUN/tensorboard.
        lines: the lines of the metrics before the checkpoint.

    Raises:
        OSError: the disk is full, or the folder is read-only.
    """

    def __init__(self, folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
        with _alone():
            from tensorboardX.proto import event_pb2, summary_pb2
        self._messages, self._summaries = event_pb2, summary_pb2
        earlier = sorted(folder.glob(f"{PREFIX}*"))
        times = self._times(earlier)
        session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        now = time.time()
        records = [
            framed(event_pb2.Event(wall_time=now, file_version="brain.Event:2").SerializeToString()),
            framed(event_pb2.Event(wall_time=now, session_log=session).SerializeToString()),
            *(self._line(line, times.get((line["kind"], line["step"]), now)) for line in lines if _scalars(line)),
        ]
        path = folder / f"{PREFIX}{_number(earlier) + 1:06d}"
        write_atomically(path, lambda temporary: temporary.write_bytes(b"".join(records)))
        for old in earlier:
            old.unlink()
        self.file = path.open("ab")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add the scalars of a line. Raises OSError."""
        if _scalars(line):
            self.file.write(self._line(line, time.time()))
            self.file.flush()

    def sync(self) -> None:
        """Force the events to disk. Raises OSError."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file. Raises OSError."""
        self.file.close()

    def _line(self, line: Mapping[str, Any], wall_time: float) -> bytes:
        values = [self._summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(line).items()]
        summary = self._summaries.Summary(value=values)
        event = self._messages.Event(wall_time=wall_time, step=line["step"], summary=summary)
        return framed(event.SerializeToString())

    def _times(self, files: Sequence[Path]) -> dict[tuple[str, int], float]:
        """Maps the kind and step of each line in earlier files to its time."""
        times: dict[tuple[str, int], float] = {}
        for path in files:
            for message in read_records(path):
                event = self._messages.Event.FromString(message)
                for value in event.summary.value[:1]:
                    kind = "evaluation" if value.tag.startswith("evaluation/") else "train"
                    times.setdefault((kind, event.step), event.wall_time)
        return times


def _scalars(line: Mapping[str, Any]) -> dict[str, float]:
    tags = TAGS.get(line.get("kind", ""), {})
    return {tag: float(line[key]) for key, tag in tags.items() if key in line}


def _number(files: Sequence[Path]) -> int:
    numbers = [path.name.removeprefix(PREFIX) for path in files]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


@contextmanager
def _alone() -> Iterator[None]:
    """Hide the packages of UNUSED from imports in the body, unless they are loaded already."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not installed
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
