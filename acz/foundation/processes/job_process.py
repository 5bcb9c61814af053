"""A process that answers jobs: JSON lines go through its pipes, arrays through files."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import AczError

if TYPE_CHECKING:
    from typing_extensions import Self


class WorkerDied(AczError):
    """A worker process ended, or answered nothing in time; the message holds its last words."""

    exit_code = 1


class JobFailed(AczError):
    """A job raised in its worker, which goes on."""

    exit_code = 1


FOLDER = "acz-worker-"


CLAIM = "in-use"


def claim(folder: Path) -> BinaryIO:
    """A locked file in a folder: the folder is in use while this process, or one that inherits the file, lives and holds it open."""
    new = folder / "new"
    file = new.open("wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    new.rename(folder / CLAIM)  # under this name it is never seen without its lock
    return file


def remove_abandoned() -> None:
    """Remove the folders of this user's processes that were killed: those whose lock nobody holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):  # in use, or gone meanwhile
            if folder.lstat().st_uid != os.geteuid():
                continue
            # anybody may make a folder of such a name: what lies in it must not make this process wait
            with open(os.open(folder / CLAIM, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


class JobProcess:
    """A process that answers jobs, one after the other; arrays go and come as files. A context manager.

    `what` names it in errors. It runs in a folder of its own, which goes with it; where this process is killed, the next that
    starts one removes it.
    """

    def __init__(self, what: str, command: list[str]) -> None:
        self.what = what
        remove_abandoned()
        self.folder = tempfile.TemporaryDirectory(prefix=FOLDER)
        self.claim = claim(Path(self.folder.name))
        self.words = Path(self.folder.name) / "stderr"
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
        with self.words.open("wb") as words:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=environment,
                cwd=self.folder.name,  # frameworks litter the current folder
                pass_fds=[self.claim.fileno()],
            )
        self.jobs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does."""
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
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
        answer = self._ask(json.dumps({**job, "given": str(given), "taken": str(taken)}), timeout)
        if "error" in answer:
            raise JobFailed(answer["error"])
        with np.load(taken, allow_pickle=False) as found:
            results = {name: found[name] for name in found.files}
        given.unlink()
        taken.unlink()
        return answer["value"], results

    def _ask(self, line: str, timeout: float) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self._died() from None
        end = time.monotonic() + timeout
        buffer = b""
        while not buffer.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))
            if not ready:
                self.process.kill()
                raise self._died(f"gave no answer in {timeout:.0f} s and was ended")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise self._died()
            buffer += part
        answer: dict[str, Any] = json.loads(buffer)
        return answer

    def _died(self, how: str = "") -> WorkerDied:
        code = self.process.wait()
        if not how:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = self.words.read_text(errors="replace").strip().splitlines()[-12:]
        last = "; its last words: " + " | ".join(words) if words else ", without a word"
        return WorkerDied(f"{self.what} {how}{last}")
