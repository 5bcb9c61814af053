"""A trial as a process: `acz train` in a run folder of its own. It saves its state and ends when its starter is gone.

`python -m acz.cli.processes.trial` reads a job from the first line of its standard input.
The pipe is open while its starter lives.
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
    from typing import Self

GRACE = 60.0
"""Seconds in which a trial must save its state after a request to end."""
LAST_WORDS = 3
"""Lines of a log that are quoted where none of them is an error of acz."""


@dataclass(frozen=True)
class Job:
    """The task of a trial's process."""

    name: str
    folder: str
    """The run folder."""
    log: str
    """The file of the process's output."""
    start: tuple[str, ...]
    """The words after `acz` that start the run."""
    resume: tuple[str, ...]
    """The words after `acz` that resume it."""
    grace: float = GRACE
    """Seconds in which a former process of the trial may still save its state."""


@dataclass(frozen=True)
class Outcome:
    """The end of a trial. `words` are its last words, empty where it succeeded."""

    name: str
    words: str = ""


Outcomes: TypeAlias = Generator[Outcome, None, None]
"""The outcomes of jobs, each as soon as its trial has ended."""


class TrialProcess:
    """A running trial. A context manager: on leaving, the trial saves its state and ends."""

    def __init__(self, job: Job) -> None:
        self.job = job
        log = Path(job.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self.offset = file.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "acz.cli.processes.trial"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which ends each trial
            )
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the exit code and the last words say why
            self.process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
            self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ask_to_end()
        self.end()

    def ask_to_end(self) -> None:
        """Close the pipe, so that the trial saves its state and ends."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self) -> None:
        """Wait until the trial has ended, and kill it after `GRACE` seconds."""
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def outcome(self) -> Outcome | None:
        """The outcome, or None while the trial runs."""
        code = self.process.poll()
        if code is None:
            return None
        if code == 0:
            return Outcome(self.job.name)
        return Outcome(self.job.name, self._last_words() or describe_end(code))

    def _last_words(self) -> str:
        with Path(self.job.log).open("rb") as file:
            file.seek(self.offset)
            lines = file.read().decode(errors="replace").strip().splitlines()
        errors = [number for number, line in enumerate(lines) if line.startswith("acz: ")]
        return " | ".join(lines[errors[-1] :] if errors else lines[-LAST_WORDS:]).removeprefix("acz: ")


def run_trial(job: Job) -> Outcome:
    """Run a trial to its end, in a process of its own."""
    with TrialProcess(job) as process:
        while (outcome := process.outcome()) is None:
            time.sleep(0.1)
    return outcome
