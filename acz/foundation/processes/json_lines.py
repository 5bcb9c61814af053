"""A process that answers JSON lines with JSON lines: the side that starts it, and its own side."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from acz.foundation.errors import AczError

PATIENCE = 5.0
"""Seconds that a process has to end by itself when its input has ended."""
LONGEST = 4000
"""Characters of an error that a process answers."""


class LineProcess(ABC):
    """A process that answers JSON lines.

    Libraries choose their own number of threads in it: variables such as OMP_NUM_THREADS are not handed down.
    """

    @abstractmethod
    def failure(self, how: str) -> AczError:
        """The error to raise where the process is gone; `how` ends a sentence about it: `ended with exit code 1`."""

    def __init__(
        self,
        command: Sequence[str],
        stderr: IO[bytes] | None = None,
        folder: Path | None = None,
        descriptors: Sequence[int] = (),
        own_session: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            command: The program and its arguments.
            stderr: The file that gets its standard error; by default this process's own.
            folder: Its current folder; by default this process's own.
            descriptors: Open files that it inherits under the same numbers.
            own_session: Keep Ctrl-C of this terminal from it.
            variables: Environment variables to set for it.
        """
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
            | dict(variables or {}),
            cwd=folder,
            pass_fds=descriptors,
            start_new_session=own_session,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout
        self.buffer = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises `failure`."""
        try:
            self.stdin.write(json.dumps(message).encode() + b"\n")
            self.stdin.flush()
        except OSError:
            raise self._ended() from None

    def receive(self) -> list[dict[str, Any]]:
        """Wait for output. Returns the answers that are complete by now, perhaps none. Raises `failure`."""
        part = os.read(self.stdout.fileno(), 2**16)
        if not part:
            raise self._ended()
        *lines, self.buffer = (self.buffer + part).split(b"\n")
        return [json.loads(line) for line in lines]

    def ask(self, message: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Send a message and wait for its answer; kill the process after `timeout` seconds. Raises `failure`."""
        self.send(message)
        end = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([self.stdout], [], [], max(end - time.monotonic(), 0))
            if not ready:
                self.process.kill()
                self.process.wait()
                raise self.failure(f"gave no answer in {timeout:.0f} s and was ended")
            for answer in self.receive():
                return answer

    def _ended(self) -> AczError:
        return self.failure(describe_end(self.process.wait()))

    def close(self) -> None:
        """End its input and wait for its end; kill it where it does not end soon."""
        with suppress(OSError):
            self.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.stdout.close()


def describe_end(code: int) -> str:
    """An exit code in words, as the end of a sentence about the process."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def answer_lines(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer every message from standard input until it ends, which is when the process that sends them is gone.

    An exception becomes an answer with the key `error`. What libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            result = answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"[:LONGEST]}
        try:
            answers.write(json.dumps(result) + "\n")
            answers.flush()
        except BrokenPipeError:
            os._exit(0)  # nobody reads the answer
