"""Ray nodes on this machine, for tests."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

MARK = "ACZ_TEST_RAY"
STORE = 100_000_000


def _parent(number: int) -> int:
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def _ancestors(number: int) -> set[int]:
    """A process's parent, its parent and so on; those that are known where one ends meanwhile."""
    ids: set[int] = set()
    with suppress(OSError):
        while number > 1:
            number = _parent(number)
            ids.add(number)
    return ids


class Nodes:
    """Ray nodes on this machine. All their processes end with the test."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="acz-ray-"))  # a short path: Ray's sockets lie in it
        self.mark = secrets.token_hex(32)
        # Ray listens on all interfaces: nobody else may control these nodes
        self.environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.mark}
        self.address = ""

    def start_head(self, cpus: int = 1) -> None:
        """Start the first node at `address`, on a free port.

        If another process takes the port meanwhile, the next is tried.
        """
        for last in (False, True):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            self.address = f"127.0.0.1:{port}"
            try:
                self.start(
                    "--head", f"--port={port}", f"--temp-dir={self.folder}", "--include-dashboard=false",
                    "--disable-usage-stats", cpus=cpus,
                )  # fmt: skip
                return
            except subprocess.SubprocessError:
                if last:
                    raise
                self.end()

    def add(self, cpus: int = 1, host: str = "127.0.0.1") -> int:
        """Start a further node, with an address of its own. Returns the id of its raylet process."""
        (raylet,) = self.start(f"--address={self.address}", cpus=cpus, host=host)
        return raylet

    def start(self, *words: str, cpus: int, host: str = "127.0.0.1") -> set[int]:
        """Start a node. Returns the ids of its raylet processes."""
        before = self.processes("raylet")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--num-cpus={cpus}", *words]
        subprocess.run(
            [*command, f"--node-ip-address={host}", f"--object-store-memory={STORE}"],
            env=self.environment | {MARK: self.mark},
            check=True,
            timeout=120,
        )
        return self.processes("raylet") - before

    def processes(self, name: str = "") -> set[int]:
        """Processes that were started by these nodes, of one program or all."""
        ids = set()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                    program = Path(os.readlink(entry / "exe")).name
                    ids |= {int(entry.name)} if name in program else set()
        return ids

    def trials(self, raylet: int) -> set[str]:
        """Names of the trials that a node runs. The logs that its processes write tell them."""
        ids = set()
        for number in self.processes():
            with suppress(OSError):
                if _parent(_parent(number)) == raylet:
                    ids.add(Path(os.readlink(f"/proc/{number}/fd/1")).stem)
        return ids

    def lose(self, raylet: int) -> None:
        """End a node and all that runs on it at once, as a machine without power does."""
        os.kill(raylet, signal.SIGSTOP)  # it neither sees its processes end nor starts new ones
        for number in (*(number for number in self.processes() if raylet in _ancestors(number)), raylet):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def end(self) -> None:
        while left := self.processes():
            for number in left:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.1)

    def close(self) -> None:
        self.end()
        shutil.rmtree(self.folder)
