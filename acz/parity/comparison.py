"""One check: its workers, their answers, the backends that died; and the levels, run one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acz.backend.devices import split_participant
from acz.backend.engines.worker_group import ProcessGroup
from acz.backend.protocol import Backend
from acz.backend.worker import Worker, Wrapper
from acz.exchange.artefacts.formats import Maker
from acz.foundation.processes.job_process import WorkerDied
from acz.foundation.progress import Progress
from acz.model.precision import FULL, Precision
from acz.parity.answers import Answers
from acz.parity.contract.samples import CASE as CONTRACT
from acz.parity.levels import LEVELS
from acz.parity.levels.base import Level, Resource
from acz.parity.row import Row
from acz.reference.samples import Case

CHECKS_AT_ONCE = 4
"""Levels of models that run at once."""
CPU_ALONE = {
    5: "artefacts are made and run on the CPU",
    6: "processes of this level share a CPU",
    7: "promises are checked on the CPU",
}
"""Levels that other devices have no part in, with the reason."""


@dataclass(frozen=True)
class Participants:
    """Who takes part in a check."""

    reference: Backend
    backends: Sequence[str]
    """The backends that are compared, each in a process of its own. `torch@GPU` computes on another device than the CPU."""
    formats: Mapping[str, Sequence[Maker]]
    """The formats that each of them writes at level 5, and `onnx` for the core's own."""


def compare_backends(
    cases: Sequence[Case],
    participants: Participants,
    levels: Collection[int],
    *,
    progress: Progress | None = None,
    wrap: Wrapper | None = None,
    threads: int = 1,
    exact_training: bool = False,
    workers: Mapping[str, Worker] | None = None,
    precisions: Sequence[Precision] = FULL,
) -> list[Row]:
    """Run levels on cases, every backend in a worker of its own, side by side.

    A backend that dies fails from there on; the others finish.

    Args:
        levels: numbers of levels.
        wrap: changes every backend, as a mutant does.
        exact_training: trains in float64 alone at levels 3, 4 and 6, which saves graphs.
        workers: workers by backend, which stay open and have `threads` and `wrap` of their own; by default they are
            started here.
        precisions: those of levels 1 to 3.
    """
    chosen = [level for level in LEVELS if level.number in levels]
    rows: list[Row] = []
    with RunningComparison(participants, threads, wrap, exact_training, workers, precisions) as comparison:
        started = [
            (level, case, comparison.start(level, case))
            for level in chosen
            for case in (cases if level.of_models else [CONTRACT])
        ]
        for done, (level, case, result) in enumerate(started):
            if progress is not None:
                progress("parity", done, len(started), f"{case.model}, {level.title}")
            rows += result.result()
    names, models = [*participants.backends, *participants.formats], [case.model for case in (*cases, CONTRACT)]
    rows.sort(key=lambda row: (names.index(row.backend), models.index(row.model), row.level))
    for row in rows:
        row.backend, row.device = split_participant(row.backend)
    return rows


def start_worker(participant: str, threads: int = 1, wrap: Wrapper | None = None) -> Worker:
    """A worker of a backend on its device: `torch`, or `torch@GPU`."""
    backend, device = split_participant(participant)
    worker = Worker(backend, threads, wrap=wrap)
    worker.device = device
    return worker


class RunningComparison:
    """A comparison while its workers run. A context manager; see `levels.base.Comparison`."""

    def __init__(
        self,
        participants: Participants,
        threads: int,
        wrap: Wrapper | None,
        exact_training: bool,
        workers: Mapping[str, Worker] | None = None,
        precisions: Sequence[Precision] = FULL,
    ) -> None:
        self.precisions = precisions
        self.backends, self.formats = participants.backends, participants.formats
        self._threads, self._wrap = threads, wrap
        self.exact_training = exact_training
        self.dead: dict[str, str] = {}
        """Backends whose process ended, with its last words."""
        self._shared: dict[str, Any] = {}
        with ExitStack() as stack:  # closed from the end: workers before the threads that wait for them
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acz-parity-")))
            self._checks = ThreadPoolExecutor(CHECKS_AT_ONCE)
            self._queues = {name: ThreadPoolExecutor(1) for name in (*self.backends, *self.formats)}
            for pool in (self._checks, *self._queues.values()):
                stack.callback(pool.shutdown, cancel_futures=True)
            if workers is None:
                workers = {name: stack.enter_context(start_worker(name, threads, wrap=wrap)) for name in self.backends}
            self._stack = stack.pop_all()
        self.answers = Answers(participants.reference, workers)

    def __enter__(self) -> RunningComparison:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start(self, level: Level, case: Case) -> Future[list[Row]]:
        """Put a level of a case in the queue. Several run at once, so that no backend waits for a slower one."""
        return self._checks.submit(lambda: list(level.rows(case, self)))

    def each(
        self, case: Case, level: Level, work: Callable[[str], Iterable[Row]], names: Iterable[str] = ()
    ) -> Iterator[Row]:
        """Run `work` for each backend, or each of `names`, side by side; an exception becomes a row that failed."""

        def guarded(name: str) -> list[Row]:
            def failed(problem: str) -> list[Row]:
                return [Row(case.model, name, level.number, level.title, problem=problem)]

            if level.number in CPU_ALONE and split_participant(name)[1] != "CPU":
                return [Row(case.model, name, level.number, level.title, missing=CPU_ALONE[level.number])]
            if name in self.dead:
                return failed(self.dead[name])
            try:
                return list(work(name))
            except WorkerDied as error:
                self.dead[name] = str(error)
                return failed(str(error))
            except Exception as error:
                return failed(f"{type(error).__name__}: {error}")

        for result in [self._queues[name].submit(guarded, name) for name in names or self.backends]:
            yield from result.result()

    def process_group(self, backend: str, world: int) -> ProcessGroup:
        """Processes of a backend that have joined; they are started once, and again after one of them died."""
        key = f"{backend}, {world} processes"
        group = self.share(key, partial(ProcessGroup, backend, world, self._threads, self._wrap))
        if group.ended:
            del self._shared[key]
            return self.process_group(backend, world)
        return group

    def share(self, key: str, make: Callable[[], AbstractContextManager[Resource]]) -> Resource:
        """A resource that is made once and closed when the check ends."""
        if key not in self._shared:
            self._shared[key] = self._stack.enter_context(make())
        resource: Resource = self._shared[key]
        return resource
