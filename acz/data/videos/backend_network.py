"""Networks in the files of a framework, run by its backend in a process of its own."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from acz.backend.info import BackendInfo
from acz.backend.protocol import Backend, Networks, OpenedNetwork
from acz.backend.registry import infos, is_installed
from acz.backend.worker import Worker
from acz.data.videos.network import Network
from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import AczError, DataError, MissingError
from acz.foundation.processes.job_process import JobFailed, WorkerDied


@dataclass(frozen=True)
class NetworkFile:
    """A file of a network, and the names of the values in it that are its input and its output."""

    path: Path
    input: str | None
    output: str | None


@dataclass(frozen=True)
class Facts:
    """The facts about an opened network."""

    shape: tuple[int | None, ...]
    takes_bytes: bool


OPENED: dict[NetworkFile, OpenedNetwork] = {}
"""The networks that are open in a worker's process."""


def describe(backend: Backend, file: NetworkFile, arrays: Mapping[str, Array]) -> tuple[Facts, Arrays]:
    """A job: open a network, and give the facts about it."""
    OPENED[file] = network = cast(Networks, backend).open_network(file.path, file.input, file.output)
    return Facts(network.shape, network.takes_bytes), {}


def compute(backend: Backend, file: NetworkFile, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: the output of an opened network for `rows`."""
    return None, {"output": OPENED[file].run(arrays["rows"])}


def backend_for(path: Path) -> BackendInfo | None:
    """The backend that runs a file of this ending, or None."""
    return next((info for info in infos().values() if path.suffix in info.networks), None)


class BackendNetwork(Network):
    """A network that a backend runs. Its process ends with this object."""

    def __init__(self, info: BackendInfo, file: NetworkFile, threads: int) -> None:
        """Start a process and open the network there.

        Raises:
            DataError: The file is not such a network.
            MissingError: The framework is not installed.
        """
        if not is_installed(info):
            raise MissingError(f"{file.path}: backend '{info.name}' runs such a network; {info.advice}")
        self.path, self.file = file.path, NetworkFile(file.path.absolute(), file.input, file.output)
        self.framework, self.words = info.framework, "its output"
        self.worker = Worker(info.name, threads)
        self._end = weakref.finalize(self, self.worker.close)
        try:
            facts, _ = self.worker.run(describe, self.file)
        except (JobFailed, WorkerDied) as error:
            self._end()
            raise self._failure("load it", error) from None
        self.shape, self.takes_bytes = facts.shape, facts.takes_bytes

    def compute(self, rows: Array) -> Array:
        try:
            return self.worker.run(compute, self.file, {"rows": rows})[1]["output"]
        except (JobFailed, WorkerDied) as error:
            raise self._failure(f"compute {rows.shape}", error) from None

    def _failure(self, what: str, error: AczError) -> DataError:
        return DataError(f"{self.path}: {self.framework} can't {what}: {str(error)[:300]}")
