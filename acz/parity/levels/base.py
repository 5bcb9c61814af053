"""What a level is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from acz.foundation.arrays import Array
from acz.parity import jobs
from acz.parity.row import Row
from acz.reference.bounds import HALF_UNIT, moved
from acz.reference.samples import Case

Ask = Callable[[str, Mapping[str, Any], Mapping[str, Array]], dict[str, Array]]


Guarded = Callable[[str, Case, int, Callable[[Ask], list[Row]]], list[Row]]


def runs_of(case: Case) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """The runs of levels 1 and 2: every kind of batch, in evaluation and training."""
    runs, arrays = [], {f"parameters/{path}": value for path, value in case.parameters.items()}
    for name in case.names:
        arrays |= jobs.pack(name, case.batch(name))
        runs += [
            {"name": f"{name}, {mode}", "batch": name, "training": mode == "training"}
            for mode in ("evaluation", "training")
        ]
    return runs, arrays


def with_perturbed(arrays: Mapping[str, Array], by: float = HALF_UNIT) -> dict[str, Array]:
    """A job's arrays with parameters that are `moved`."""
    new = moved(jobs.group(arrays, "parameters"), by)
    return {**arrays, **{f"parameters/{path}": value for path, value in new.items()}}
