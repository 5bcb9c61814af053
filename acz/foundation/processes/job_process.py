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
    from typing_extensions import Self


class WorkerDied(AczError):
    """A worker process ended, or answered nothing in time; the message holds its last words."""

    exit_code = 1


class JobFailed(AczError):
    """A job raised in its worker, which goes on."""

    exit_code = 1


FOLDER = "acz-worker-"
"""The beginning of the names of these processes' folders."""


class JobProcess(LineProcess):
    """A process that answers jobs, one after the other; arrays go and come as files. A context manager.

    `what` names it in errors. It runs in a folder of its own, which goes with it; where this process is killed, the next that
    starts one removes it.
    """

    def __init__(self, what: str, command: list[str]) -> None:
        self.what = what
        remove_abandoned(Path(tempfile.gettempdir()).glob(f"{FOLDER}*"))
        self.folder = tempfile.TemporaryDirectory(prefix=FOLDER)
        self.claim = hold_folder(Path(self.folder.name))
        self.words = Path(self.folder.name) / "stderr"
        with self.words.open("wb") as words:  # frameworks litter the current folder
            super().__init__(command, words, Path(self.folder.name), [self.claim.fileno()])
        self.jobs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does."""
        super().close()
        self.folder.cleanup()
        self.claim.close()

    def exchange(
        self, job: Mapping[str, Any], arrays: Mapping[str, Array], timeout: float
    ) -> tuple[Any, dict[str, Array]]:
        """Send a job with its arrays; gives its JSON value and its arrays.

        Raises JobFailed where it raised, WorkerDied where the process ended or `timeout` seconds passed.
        """
        self.jobs += 1
        given = Path(self.folder.name) / f"{self.jobs}.in.npz"
        taken = Path(self.folder.name) / f"{self.jobs}.out.npz"
        np.savez(given, **dict(arrays))
        answer = self.ask({**job, "given": str(given), "taken": str(taken)}, timeout)
        if "error" in answer:
            raise JobFailed(answer["error"])
        with np.load(taken, allow_pickle=False) as found:
            results = {name: found[name] for name in found.files}
        given.unlink()
        taken.unlink()
        return answer["value"], results

    def failure(self, how: str) -> WorkerDied:
        words = self.words.read_text(errors="replace").strip().splitlines()[-12:]
        last = "; its last words: " + " | ".join(words) if words else ", without a word"
        return WorkerDied(f"{self.what} {how}{last}")
