"""Level 2: gradients of every parameter and input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from acz.backend.devices import missing_precision
from acz.foundation.arrays import Arrays
from acz.model.precision import Precision
from acz.parity import jobs
from acz.parity.levels.base import Comparison, ask_low, runs_of, with_perturbed
from acz.parity.row import MOST_BOUND, Row
from acz.reference.bounds import FLOAT64, GRADIENT_ROUNDING, difference, gradient_scales, low_bound, worst
from acz.reference.samples import Case

KINDS = ("plain", "padded", "one frame")
"""The batches whose gradients are compared, in both modes. Further draws of the plain one are compared in training."""
LEAST_SHARE = {precision: 1e-4 if precision is Precision.FLOAT64 else 1e-2 for precision in Precision}
"""The share of the largest gradient that a smaller one's error is at least measured against."""


class Gradients:
    """Every parameter's and input's gradient against complex steps of the reference, in both precisions."""

    number, title = 2, "gradients"
    of_models = True

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Compare the gradients of each run; the row of a precision is its worst run's.

        Runs whose bound says nothing have a row of their own.
        """
        return comparison.each(case, self, partial(self._compare, case, comparison))

    def _compare(self, case: Case, comparison: Comparison, backend: str) -> Iterator[Row]:
        runs, arrays = runs_of(case)
        runs = tuple(run for run in runs if run.batch in KINDS or (run.training and run.batch.startswith("plain ")))
        wide = jobs.GradientArguments(case.spec, Precision.FLOAT64, case.loss, runs)
        exact = comparison.answers.of_reference(f"{case.model} gradients", jobs.gradients, wide, arrays)
        for precision in comparison.precisions:
            if missing := missing_precision(backend, precision):
                yield Row(case.model, backend, self.number, self.title, precision.value, missing=missing)
                continue
            arguments = replace(wide, precision=precision)
            gradients = comparison.answers.of_backend(backend, jobs.gradients, arguments, arrays)
            rounded = _rounded(case, comparison, arguments, arrays)
            nearest: dict[bool, tuple[float, float, str]] = {}
            right, drawn = exact, list[Arrays]()
            if precision.is_low:
                key = f"{case.model} gradients {precision.value}"
                right, drawn = ask_low(comparison, key, jobs.gradients, arguments, arrays)
            for run in runs:
                expected, plain = jobs.group(right, run.name), jobs.group(exact, run.name)
                scales = gradient_scales(expected, LEAST_SHARE[precision])
                bound = FLOAT64
                if rounded:
                    own = [
                        difference(values[f"{run.name}/{name}"], value, scales[name])
                        for values in rounded
                        for name, value in plain.items()
                    ]
                    moved = [
                        difference(values[f"{run.name}/{name}"], value, scales[name])
                        for values in drawn
                        for name, value in expected.items()
                    ]
                    bound = low_bound(max(own), max(moved, default=0.0), GRADIENT_ROUNDING)
                measured, bound, where = worst(jobs.group(gradients, run.name), expected, bound, scales)
                so_far = nearest.get(loose := measured <= bound and bound > MOST_BOUND)
                if so_far is None or measured / bound >= so_far[0] / so_far[1]:
                    nearest[loose] = (measured, bound, f"{run.name}: {where}")
                if measured > bound:
                    break
            for loose, numbers in sorted(nearest.items()):
                check = "gradients, not bounded" if loose else "gradients"
                yield Row(case.model, backend, self.number, check, precision.value, *numbers)


def _rounded(case: Case, comparison: Comparison, arguments: jobs.GradientArguments, arrays: Arrays) -> list[Arrays]:
    """The effect of rounding on the reference's gradients; empty in float64, whose bound is fixed."""
    if arguments.precision is Precision.FLOAT64:
        return []
    wide = replace(arguments, precision=Precision.FLOAT64)
    narrow = replace(arguments, precision=Precision.FLOAT32)
    ask = comparison.answers.of_reference
    return [
        ask(f"{case.model} gradients float32", jobs.gradients, narrow, arrays),
        ask(f"{case.model} gradients perturbed", jobs.gradients, wide, with_perturbed(arrays)),
    ]
