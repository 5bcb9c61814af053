"""Several workers of one backend that train one model together, as the ranks of a group."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import cast

from acz.backend.processes import Cluster, Command, Place
from acz.backend.protocol import Processes
from acz.backend.registry import find_info
from acz.backend.worker import Arguments, Job, Worker, Wrapper
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.ports import LOOPBACK, free_port
from acz.parity import jobs


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
            self._places = [Place(rank, world, rank, world, LOOPBACK, launcher.name) for rank in range(world)]
            self._stack = stack.pop_all()
        try:
            self._run([(jobs.join, place) for place in self._places], {}, 180.0)
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

    def train(self, training: jobs.TrainingArguments, arrays: Mapping[str, Array]) -> list[Arrays]:
        """Train on whole batches, of which each rank takes its part. Returns the answer of each rank, as `jobs.training` does."""
        return self._run(
            [(jobs.share_training, jobs.SharedTraining(training, place)) for place in self._places], arrays
        )

    def _run(
        self,
        tasks: Sequence[tuple[Callable[[Processes, Arguments, Mapping[str, Array]], tuple[None, Arrays]], Arguments]],
        arrays: Mapping[str, Array],
        timeout: float = 900.0,
    ) -> list[Arrays]:
        """Run a job of each rank at once. Where one fails, the others, which wait for it, are ended."""
        pending = [
            self._threads.submit(worker.run, cast(Job[Arguments, None], job), arguments, arrays, timeout)
            for worker, (job, arguments) in zip(self._workers, tasks, strict=True)
        ]
        done, _ = wait(pending, return_when="FIRST_EXCEPTION")
        failed = [result for result in done if result.exception()]
        if failed:
            self.ended = True
            for worker in self._workers:
                worker.process.kill()
            wait(pending)
            raise failed[0].exception()  # type: ignore[misc]
        return [result.result()[1] for result in pending]


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
