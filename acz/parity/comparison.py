"""The levels: 1 outputs, 2 gradients, 3 training, 4 checkpoints, 5 exports. Each compares backends with the NumPy reference."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from acz.backend.worker import Arguments, Job, Worker, Wrapper
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.job_process import WorkerDied
from acz.parity.answers import Reference
from acz.parity.levels import LEVELS
from acz.parity.levels.base import Ask
from acz.parity.levels.checkpoints import exchanged
from acz.parity.levels.exports import ONNX, exports
from acz.parity.levels.gradients import gradients
from acz.parity.levels.outputs import outputs
from acz.parity.levels.training import Trainings, training
from acz.parity.row import Row
from acz.reference.samples import Case

Function = Callable[..., Iterator[Row]]


@contextmanager
def _workers(backends: list[str], threads: int, wrap: Wrapper | None) -> Iterator[dict[str, Worker]]:
    workers = {name: Worker(name, threads, wrap=wrap) for name in backends}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def check(
    chosen: list[Case],
    backends: list[str],
    levels: list[int],
    progress: Callable[[str], None] = lambda text: None,
    wrap: Wrapper | None = None,
    threads: int = 1,
    skip_slow_precision: bool = False,
) -> list[Row]:
    """Run levels on cases, one worker a backend, side by side. A dead worker is its backend's failure; others go on.

    `skip_slow_precision` takes level 3's second form in float64 alone, which saves MindSpore a graph.
    """
    rows: list[Row] = []
    frameworks = [name for name in backends if name != ONNX]
    reference = Reference()
    dead: dict[str, str] = {}

    def guarded(name: str, case: Case, level: int, work: Callable[[Ask], list[Row]]) -> list[Row]:
        def ask(job: Job[Arguments, object], arguments: Arguments, arrays: Mapping[str, Array]) -> Arrays:
            return workers[name].run(job, arguments, arrays)[1]

        failed = functools.partial(Row, case.model, name, level, LEVELS[level], "", float("nan"), 0.0)
        if name in dead:
            return [failed(problem=dead[name])]
        progress(f"{name}: {case.model}, {LEVELS[level]}")
        try:
            return work(ask)
        except WorkerDied as error:
            dead[name] = str(error)
            return [failed(problem=dead[name])]
        except Exception as error:
            return [failed(problem=f"{type(error).__name__}: {error}")]

    def compared(name: str, trainings: Trainings) -> list[Row]:
        found = []
        functions: dict[int, Function] = {
            1: outputs,
            2: gradients,
            3: functools.partial(training, trainings=trainings, skip_slow_precision=skip_slow_precision),
        }
        for case in chosen:
            for level in (level for level in levels if level in functions):

                def work(ask: Ask, case: Case = case, function: Function = functions[level]) -> list[Row]:
                    return list(function(case, name, ask, reference))

                found += guarded(name, case, level, work)
        return found

    with (
        _workers(frameworks, threads, wrap) as workers,
        ThreadPoolExecutor(max(len(backends), 1)) as pool,
        tempfile.TemporaryDirectory(prefix="acz-parity-") as folder,
    ):
        trainings = Trainings(Path(folder))
        for part in pool.map(lambda name: compared(name, trainings), frameworks):
            rows += part
        if 4 in levels:
            rows += exchanged(chosen, frameworks, trainings, guarded, pool)
        if 5 in levels:
            for part in pool.map(lambda name: list(exports(chosen, name, guarded)), backends):
                rows += part
    return rows
