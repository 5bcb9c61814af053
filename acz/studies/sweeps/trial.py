"""A trial as a process: `acz train` in a run folder of its own, which ends, saved, when whoever started it is gone.

`python -m acz.cli.trial` reads a job from the first line of its standard input. The pipe stays open as long as its starter lives.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from acz.foundation.processes.json_lines import describe_end

if TYPE_CHECKING:
    from typing_extensions import Self

GRACE = 60.0
"""Seconds for a trial to save its state after it was asked to end."""
LAST_WORDS = 3
"""Lines of a log that are quoted where none is an error of ours."""


@dataclass(frozen=True)
class Job:
    """What a trial's process is given: the words after `acz` that begin its run, and those that go on with it."""

    name: str
    folder: str
    log: str
    first: tuple[str, ...]
    again: tuple[str, ...]
    grace: float = GRACE
    """Seconds that a former process of the trial may still take to save its state."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended. `words` are its last ones, empty where it went well."""

    name: str
    words: str = ""


Outcomes: TypeAlias = Generator[Outcome, None, None]
"""What an engine gives: the outcome of each job as it comes."""


class TrialProcess:
    """A running trial. A context manager: leaving it asks the trial to save and end."""

    def __init__(self, job: Job) -> None:
        self.job = job
        log = Path(job.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self.start = file.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "acz.cli.trial"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for the sweep, which asks each trial to end
            )
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # its exit code and last words say why
            self.process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
            self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.ask_to_end()
        self.end()

    def ask_to_end(self) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self) -> None:
        """Wait until the trial has ended; after a time, make it."""
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def outcome(self) -> Outcome | None:
        """How it ended, or none as long as it runs."""
        code = self.process.poll()
        if code is None:
            return None
        if code == 0:
            return Outcome(self.job.name)
        return Outcome(self.job.name, self._last_words() or describe_end(code))

    def _last_words(self) -> str:
        with Path(self.job.log).open("rb") as file:
            file.seek(self.start)
            lines = file.read().decode(errors="replace").strip().splitlines()
        ours = [number for number, line in enumerate(lines) if line.startswith("acz: ")]
        return " | ".join(lines[ours[-1] :] if ours else lines[-LAST_WORDS:]).removeprefix("acz: ")


def run_trial(job: Job) -> Outcome:
    """Run a trial to its end, in a process of its own."""
    with TrialProcess(job) as running:
        while (ended := running.outcome()) is None:
            time.sleep(0.1)
    return ended
