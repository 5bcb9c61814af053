"""What a level is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from acz.backend.worker import Arguments, Job
from acz.foundation.arrays import Array, Arrays
from acz.parity import jobs
from acz.parity.row import Row
from acz.reference.bounds import HALF_UNIT, moved
from acz.reference.samples import Case


class Ask(Protocol):
    """Run a job in a backend's worker; gives its arrays."""

    def __call__(self, job: Job[Arguments, object], arguments: Arguments, arrays: Mapping[str, Array]) -> Arrays: ...


Guarded = Callable[[str, Case, int, Callable[[Ask], list[Row]]], list[Row]]


def runs_of(case: Case) -> tuple[tuple[jobs.Run, ...], Arrays]:
    """The runs of levels 1 and 2: every kind of batch, in evaluation and training."""
    arrays = jobs.pack_parameters(case.parameters)
    for name in case.names:
        arrays |= jobs.pack(name, case.batch(name))
    modes = ("evaluation", "training")
    runs = tuple(jobs.Run(f"{name}, {mode}", name, mode == "training") for name in case.names for mode in modes)
    return runs, arrays


def with_perturbed(arrays: Mapping[str, Array], by: float = HALF_UNIT) -> Arrays:
    """A job's arrays with parameters that are `moved`."""
    return {**arrays, **jobs.pack_parameters(moved(jobs.group(arrays, "parameters"), by))}
