"""Several workers of one backend that have joined, as the ranks of a group: each runs its part of a job at the same time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from acz.backend.processes import Cluster, Command, Place
from acz.backend.protocol import Processes
from acz.backend.registry import find_info
from acz.backend.worker import Arguments, Job, Value, Worker, Wrapper
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.ports import LOOPBACK, free_port


def join(backend: Processes, place: Place, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: join the other processes."""
    backend.join(place, "CPU")
    return None, {}


class ProcessGroup:
    """The ranks of a group on this host, each a worker, that have joined. A context manager.

    Args:
        backend: the registered name of a backend that has a launcher.
        world: the number of ranks.
        threads: threads of each on the CPU.
        wrap: see `Worker`.

    Raises:
        WorkerDied, JobFailed: a rank can't join.
    """

    def __init__(self, backend: str, world: int, threads: int = 1, wrap: Wrapper | None = None) -> None:
        self.world, self.ended = world, False
        launcher = find_info(backend).launcher
        assert launcher is not None, f"backend '{backend}' has no launcher"
        cluster = Cluster((LOOPBACK,), world, free_port(world))
        with ExitStack() as stack:
            self._threads = ThreadPoolExecutor(world)
            stack.callback(self._threads.shutdown)
            if launcher.scheduler:
                stack.enter_context(_beside(launcher.scheduler(cluster)))
            self._workers = [
                stack.enter_context(Worker(backend, threads, wrap=wrap, variables=launcher.variables(cluster, rank)))
                for rank in range(world)
            ]
            self.places = [Place(rank, world, rank, world, LOOPBACK, launcher.name) for rank in range(world)]
            self._stack = stack.pop_all()
        try:
            self.run(join, self.places, timeout=180.0)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the ranks."""
        self._stack.close()

    def run(
        self,
        job: Callable[[Any, Arguments, Mapping[str, Array]], tuple[Value, Arrays]],
        arguments: Sequence[Arguments],
        arrays: Mapping[str, Array] | None = None,
        timeout: float = 900.0,
    ) -> list[tuple[Value, Arrays]]:
        """Run a job at every rank at once. Where it fails at one, the others, which wait for that one, are ended.

        Args:
            job: a job of a worker, whose backend has joined the other ranks.
            arguments: of each rank.
            arrays: the same for every rank.
            timeout: seconds.

        Returns:
            The answer of each rank.
        """
        pending = [
            self._threads.submit(worker.run, cast(Job[Arguments, Value], job), own, arrays, timeout)
            for worker, own in zip(self._workers, arguments, strict=True)
        ]
        done, _ = wait(pending, return_when="FIRST_EXCEPTION")
        failed = [result for result in done if result.exception()]
        if failed:
            self.ended = True
            for worker in self._workers:
                worker.process.kill()
            wait(pending)
            raise failed[0].exception()  # type: ignore[misc]
        return [result.result() for result in pending]


@contextmanager
def _beside(command: Command) -> Iterator[None]:
    """A process that runs beside the ranks."""
    with subprocess.Popen(
        command.words,
        env={**os.environ, **command.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.kill()
