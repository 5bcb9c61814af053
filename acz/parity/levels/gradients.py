"""Level 2: gradients of every parameter and input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from acz.foundation.arrays import Arrays
from acz.parity import jobs
from acz.parity.answers import Reference
from acz.parity.levels.base import Ask, runs_of, with_perturbed
from acz.parity.row import Row
from acz.reference.bounds import FLOAT64, GRADIENT_ROUNDING, difference, float32_bound, gradient_scales, worst
from acz.reference.samples import Case


def gradients(case: Case, backend: str, ask: Ask, reference: Reference) -> Iterator[Row]:
    """Level 2: every parameter's and input's gradient against complex steps of the reference, in both precisions."""
    runs, arrays = runs_of(case)
    runs = tuple(run for run in runs if run.batch in ("plain", "padded", "one frame"))
    wide = jobs.GradientArguments(case.spec, "float64", case.loss, runs)
    exact = reference(f"{case.model} gradients", jobs.gradients, wide, arrays)
    for dtype in ("float64", "float32"):
        arguments = replace(wide, dtype=dtype)
        found = ask(jobs.gradients, arguments, arrays)
        others: list[Arrays] = []
        if dtype == "float32":
            others = [
                reference(f"{case.model} gradients float32", jobs.gradients, arguments, arrays),
                reference(f"{case.model} gradients moved", jobs.gradients, wide, with_perturbed(arrays)),
            ]
        best = (0.0, 1.0, "")
        for run in runs:
            wanted = jobs.group(exact, run.name)
            scales = gradient_scales(wanted, 1e-4 if dtype == "float64" else 1e-2)
            bound = FLOAT64
            if dtype == "float32":
                own = [
                    difference(other[f"{run.name}/{name}"], value, scales[name])
                    for other in others
                    for name, value in wanted.items()
                ]
                bound = float32_bound(max(own), GRADIENT_ROUNDING)
            measured, bound, where = worst(jobs.group(found, run.name), wanted, bound, scales)
            if measured / bound >= best[0] / best[1]:
                best = (measured, bound, f"{run.name}: {where}")
            if measured > bound:
                break
        yield Row(case.model, backend, 2, "gradients", dtype, *best)
