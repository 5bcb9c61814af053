"""A process that answers jobs: JSON lines go through its pipes, arrays through files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import AczError
from acz.foundation.files.locks import hold_folder, remove_abandoned
from acz.foundation.processes.json_lines import LineProcess

if TYPE_CHECKING:
    from typing import Self


class WorkerDied(AczError):
    """A worker process ended, or gave no answer in time. The message has the last lines of its output."""

    exit_code = 1


class JobFailed(AczError):
    """A job raised an error. Its worker lives on."""

    exit_code = 1


FOLDER = "acz-worker-"
"""The beginning of the names of these processes' folders."""


class JobProcess(LineProcess):
    """A process that answers jobs, one after the other; arrays travel as files. A context manager.

    `what` names it in errors, and `variables` are set for it. It runs in a folder of its own, which is removed with it. Where this process is killed,
    the next process that starts a worker removes the folder.
    """

    def __init__(self, what: str, command: list[str], variables: Mapping[str, str] | None = None) -> None:
        self.what = what
        remove_abandoned(Path(tempfile.gettempdir()).glob(f"{FOLDER}*"))
        self.folder = tempfile.TemporaryDirectory(prefix=FOLDER)
        self.claim = hold_folder(Path(self.folder.name))
        self.words = Path(self.folder.name) / "stderr"
        with self.words.open("wb") as words:  # frameworks litter the current folder
            super().__init__(command, words, Path(self.folder.name), [self.claim.fileno()], variables=variables)
        self.jobs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        super().close()
        self.folder.cleanup()
        self.claim.close()

    def exchange(
        self, job: Mapping[str, Any], arrays: Mapping[str, Array], timeout: float
    ) -> tuple[Any, dict[str, Array]]:
        """Send a job with its arrays. Returns its JSON value and its arrays.

        Raises:
            JobFailed: The job raised an error.
            WorkerDied: The process ended, or `timeout` seconds passed.
        """
        self.jobs += 1
        given = Path(self.folder.name) / f"{self.jobs}.in.npz"
        taken = Path(self.folder.name) / f"{self.jobs}.out.npz"
        np.savez(given, **dict(arrays))
        answer = self.ask({**job, "given": str(given), "taken": str(taken)}, timeout)
        if "error" in answer:
            raise JobFailed(answer["error"])
        with np.load(taken, allow_pickle=False) as file:
            results = {name: file[name] for name in file.files}
        given.unlink()
        taken.unlink()
        return answer["value"], results

    def failure(self, how: str) -> WorkerDied:
        words = self.words.read_text(errors="replace").strip().splitlines()[-12:]
        last = "; its last words: " + " | ".join(words) if words else ", without a word"
        return WorkerDied(f"{self.what} {how}{last}")
