"""The folder `runs/`: names of new runs, and the choice of the latest run."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from acz.foundation.errors import CheckpointError

RUNS = Path("runs")
LATEST = ".latest"


def new_run_folder(name: str) -> Path:
    """Give a folder that does not exist yet: `runs/NAME-DATE-TIME`."""
    stem = f"{name.rpartition('/')[2].replace(':', '-').removesuffix('.yaml').strip('()')}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = (RUNS / (stem if n == 1 else f"{stem}-{n}") for n in range(1, 1000))
    return next(path for path in candidates if not path.exists())


def mark_latest(folder: Path) -> None:
    """Record that a run under ./runs is the latest one to start or resume."""
    with suppress(OSError):  # the run itself reports a problem of the disk
        if folder.resolve().parent == RUNS.resolve():
            (RUNS / LATEST).write_text(folder.name, encoding="utf-8")


def latest_run() -> Path:
    """Find the run under ./runs that started or resumed last.

    `mark_latest` recorded it, because clocks jump. Without the record the times of the files decide.

    Raises:
        CheckpointError: ./runs has no run.
    """
    runs = {path.parent.name: path.parent for path in RUNS.glob("*/run.json")}
    with suppress(OSError, ValueError):
        latest = (RUNS / LATEST).read_text(encoding="utf-8")
        if latest in runs:
            return runs[latest]
    if not runs:
        raise CheckpointError("there is no run in ./runs; 'acz train' makes one, or name the folder of a run")
    return max(runs.values(), key=_written)


def _written(run: Path) -> float:
    """The time of the last change of a run's files, in seconds since 1970. Files may vanish meanwhile."""
    times = [0.0]
    for path in run.iterdir():
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)
