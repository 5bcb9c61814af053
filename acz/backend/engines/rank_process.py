"""The process of a rank on a node of a cluster, and the port at which others find it. An engine calls it from afar."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.backend.engines.base import FOLDER
from acz.foundation.files.locks import hold_folder, remove_abandoned
from acz.foundation.processes.ports import free_port


@dataclass(frozen=True)
class Node:
    """A rank's node."""

    host: str
    """Its name, for messages."""
    address: str
    """The address at which other nodes reach it."""
    port: int
    """A port that is free on all interfaces."""
    sees_folder: bool
    """True where the folder in which the command was typed is there."""


@dataclass(frozen=True)
class Report:
    """The state of a rank's process."""

    code: int | None
    """The exit code; None while it runs."""
    output: bytes
    """The output since the last report."""
    answer: bytes | None
    """The answer that an ended process left."""


class RankProcess:
    """A rank, alone in a process, so that its framework meets nothing of the cluster's worker."""

    def __init__(self) -> None:
        remove_abandoned(Path(tempfile.gettempdir()).glob(f"{FOLDER}*"))
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER))
        self.held = hold_folder(self.folder)
        self.log, self.answer = self.folder / "log", self.folder / "answer"
        self.offset = 0
        self.processes: list[subprocess.Popen[bytes]] = []

    def describe_node(self, folder: str) -> Node:
        """Describe the node, given the folder in which the command was typed."""
        import ray as library

        ray: Any = library  # its types are incomplete
        address = str(ray.util.get_node_ip_address())
        return Node(socket.gethostname(), address, free_port(address=""), Path(folder).is_dir())

    def start_beside(self, words: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start a further program of Python, without a rank."""
        null = subprocess.DEVNULL
        self._start(words, variables, null, str(self.folder))

    def start(self, call: bytes, threads: int, variables: Mapping[str, str], answer: str, folder: str) -> None:
        """Start the rank.

        Args:
            call: the call to make.
            threads: threads on the CPU.
            variables: environment variables, which give it its place.
            answer: the variable that names the file for the answer.
            folder: its current folder.
        """
        (self.folder / "call").write_bytes(call)
        words = ["-m", "acz.cli.processes.rank", str(self.folder / "call"), str(threads)]
        with self.log.open("wb") as log:
            self._start(words, {**variables, answer: str(self.answer)}, log.fileno(), folder)

    def _start(self, words: Sequence[str], variables: Mapping[str, str], output: int, folder: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        self.processes.append(
            subprocess.Popen(
                [sys.executable, *words],
                env={**inherited, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,
            )
        )

    def report(self) -> Report:
        """The state of the rank, and its output since the last report."""
        code = self.processes[-1].poll()
        with self.log.open("rb") as log:
            log.seek(self.offset)
            output = log.read()
        self.offset += len(output)
        answer = self.answer.read_bytes() if code is not None and self.answer.is_file() else None
        return Report(code, output, answer)

    def interrupt(self) -> None:
        """Have the rank stop, as Ctrl-C does."""
        self.processes[-1].send_signal(signal.SIGINT)

    def end(self) -> None:
        """End everything that was started here."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
