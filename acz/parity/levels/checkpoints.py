"""Level 4: a checkpoint saved by one backend, loaded by another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from acz.parity import jobs
from acz.parity.levels.base import Ask
from acz.parity.levels.training import COUPLED, STEPS_AFTER_CHECKPOINT, Trainings, training_arguments
from acz.parity.row import Row
from acz.reference.bounds import FLOAT64, GRADIENT_ROUNDING, float32_bound, worst
from acz.reference.samples import Case


def checkpoints(
    case: Case, backend: str, ask: Ask, dtype: str, writers: list[str], trainings: Trainings
) -> Iterator[Row]:
    """Level 4: `backend` goes on from what each writer has saved, and does what that writer did.

    What is loaded, weights and optimiser, is the same to the last bit, in both precisions; the steps after it are compared in
    float64, which tells more, since every graph that is compiled for them costs seconds. For the same reason one trainer
    loads them all: the first as it was built, the others over what the steps before have left.
    """
    training, arrays = training_arguments(case, COUPLED, False, dtype)
    if dtype == "float32":
        training = replace(training, steps_after_checkpoint=0)
    paths = {writer: trainings.path(case, writer, dtype) for writer in writers}
    found = ask(jobs.resume, jobs.ResumeArguments(training, paths), arrays)
    for writer in writers:
        mine, wrote = jobs.group(found, writer), trainings.known[case.model, writer, dtype]
        state = {name: value for name, value in wrote.items() if name.startswith(("loaded/", "optimizer/"))}
        measured, bound, where = worst(mine, state, 0.0)
        if measured <= bound:
            after = {"output": wrote["output"]}
            bounds = {
                "output": FLOAT64 if dtype == "float64" else float32_bound(0.0, GRADIENT_ROUNDING),
                "losses": 1e-8,
            }
            if dtype == "float64":
                after["losses"] = wrote["losses"][-STEPS_AFTER_CHECKPOINT:]
            measured, bound, where = worst(mine, after, bounds)
        yield Row(case.model, backend, 4, f"checkpoint of {writer}", dtype, measured, bound, where)


def exchanged(
    chosen: list[Case],
    backends: list[str],
    trainings: Trainings,
    guarded: Callable[[str, Case, int, Callable[[Ask], list[Row]]], list[Row]],
    pool: ThreadPoolExecutor,
) -> list[Row]:
    """Level 4: every backend saves, then every other one loads; and each its own."""

    def write(name: str) -> list[Row]:
        rows: list[Row] = []
        for case in chosen:

            def work(ask: Ask, case: Case = case) -> list[Row]:
                for dtype in ("float64", "float32"):
                    trainings(case, name, ask, dtype)
                return []

            rows += guarded(name, case, 4, work)
        return rows

    def read(name: str) -> list[Row]:
        rows: list[Row] = []
        for case in chosen:
            # a writer that has saved nothing has a row of its own, which says why
            writers = [writer for writer in backends if (case.model, writer, "float32") in trainings.known]

            def work(ask: Ask, case: Case = case, writers: list[str] = writers) -> list[Row]:
                return [
                    row
                    for dtype in ("float64", "float32")
                    for row in checkpoints(case, name, ask, dtype, writers, trainings)
                ]

            rows += guarded(name, case, 4, work)
        return rows

    return [row for part in [*pool.map(write, backends), *pool.map(read, backends)] for row in part]
