"""Level 1: outputs of every layer, and independence of batch mates and padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from acz.backend.devices import missing_precision
from acz.foundation.arrays import Arrays
from acz.model.precision import Precision
from acz.parity import jobs
from acz.parity.levels.base import Comparison, ask_low, runs_of, with_perturbed
from acz.parity.row import Row
from acz.reference.bounds import DRAWN, FLOAT64, difference, float32_bound, worst
from acz.reference.samples import Batch, Case

RANKED = ("plain, evaluation",)
"""Runs whose best classes and loss, as an evaluation selects them, are compared too."""


class Outputs:
    """Every layer's output on every kind of batch, in both modes and precisions, and what an evaluation selects of it."""

    number, title = 1, "outputs"
    of_models = True

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Compare outputs, and a batch with its videos apart."""
        return comparison.each(case, self, partial(self._compare, case, comparison))

    def _compare(self, case: Case, comparison: Comparison, backend: str) -> Iterator[Row]:
        runs, arrays = runs_of(case)
        wide = jobs.OutputArguments(case.spec, Precision.FLOAT64, runs, RANKED, case.loss)
        exact = comparison.answers.of_reference(f"{case.model} outputs", jobs.outputs, wide, arrays)
        for precision in comparison.precisions:
            arguments = replace(wide, precision=precision)
            if missing := missing_precision(backend, precision):
                yield Row(case.model, backend, self.number, self.title, precision.value, missing=missing)
                continue
            right: Arrays = exact
            bounds: Mapping[str, float] | float
            if precision.is_low:
                right, bounds = _low_bounds(case, comparison, arguments, arrays, exact)
            else:
                bounds = _bounds(case, comparison, arguments, arrays, exact)
            outputs = comparison.answers.of_backend(backend, jobs.outputs, arguments, arrays)
            row = partial(Row, case.model, backend, self.number)
            overflows = {name for name, value in right.items() if not np.isfinite(value).all()}
            runs_that_overflow = {name.split("/")[0] for name in overflows}
            for mode in ("evaluation", "training"):
                expected = {
                    name: value
                    for name, value in right.items()
                    if name.split("/")[0].endswith(mode) and name.split("/")[0] not in runs_that_overflow
                }
                yield row(f"outputs, {mode}", precision.value, *worst(outputs, expected, bounds))
            if overflows:  # beyond float16's largest number no value is right
                finite = [name for name in sorted(overflows) if np.isfinite(outputs[name]).all()]
                yield row("overflows", precision.value, float(len(finite)), 0.0, "".join(finite[:1]))
        if Precision.FLOAT64 in comparison.precisions:
            yield from self._independence(case, comparison, backend, arrays)

    def _independence(self, case: Case, comparison: Comparison, backend: str, arrays: Arrays) -> Iterator[Row]:
        """Neither the other videos of a batch nor frames of padding may change an output."""
        kind = "padded" if "padded" in case.names else "plain"
        together = case.batch(kind)
        names = [kind, *(f"alone{index}" for index in range(len(together.labels))), "longer"]
        runs = tuple(jobs.Run(name, name, training=False) for name in names)
        arguments = jobs.OutputArguments(case.spec, Precision.FLOAT64, runs)
        fed = arrays | jobs.pack(kind, together) | _separate(case, together)
        outputs = comparison.answers.of_backend(backend, jobs.outputs, arguments, fed)
        whole = outputs[f"{kind}/output"]
        compared = {"batch mates": np.concatenate([outputs[f"{name}/output"] for name in names[1:-1]])}
        if kind == "padded":
            compared["padded frames"] = outputs["longer/output"]
        for what, value in compared.items():
            check = f"independence of {what}"
            yield Row(case.model, backend, self.number, check, "float64", difference(value, whole), FLOAT64)


def _bounds(
    case: Case, comparison: Comparison, arguments: jobs.OutputArguments, arrays: Arrays, exact: Arrays
) -> Mapping[str, float] | float:
    """The bound of each value: the effect of rounding on the reference, in its float32 and by perturbed parameters."""
    if arguments.precision is Precision.FLOAT64:
        return FLOAT64
    wide = replace(arguments, precision=Precision.FLOAT64)
    ask = comparison.answers.of_reference
    rounded = [
        ask(f"{case.model} outputs {arguments.precision.value}", jobs.outputs, arguments, arrays),
        ask(f"{case.model} outputs perturbed", jobs.outputs, wide, with_perturbed(arrays)),
    ]
    return {
        name: float32_bound(max(difference(values[name], value) for values in rounded)) for name, value in exact.items()
    }


def _low_bounds(
    case: Case, comparison: Comparison, arguments: jobs.OutputArguments, arrays: Arrays, unrounded: Arrays
) -> tuple[Arrays, Mapping[str, float]]:
    """The reference's values in a low precision, and the bound of each."""
    precision = arguments.precision.value
    exact, drawn = ask_low(comparison, f"{case.model} outputs {precision}", jobs.outputs, arguments, arrays)
    narrow = replace(arguments, precision=Precision.FLOAT32)
    own = _bounds(case, comparison, narrow, arrays, unrounded)
    assert not isinstance(own, float)
    moved = {name: max(difference(values[name], value) for values in drawn) for name, value in exact.items()}
    return exact, {name: own[name] + DRAWN * moved[name] for name in exact}


def _separate(case: Case, batch: Batch) -> Arrays:
    """A batch's videos one by one, and the whole with two frames of padding more."""
    arrays: Arrays = {}
    for index in range(len(batch.labels)):
        for key, value in batch.inputs.items():
            arrays[f"alone{index}/inputs/{key}"] = value[index : index + 1]
    for key, value in batch.inputs.items():
        if key in case.spec.inputs and case.spec.inputs[key].has_frames:
            padding = np.full((len(value), 2, value.shape[2]), 1e6)
            arrays[f"longer/inputs/{key}"] = np.concatenate([value, padding], axis=1)
            mask = batch.inputs.get(f"{key}.mask", np.ones(value.shape[:2], dtype=bool))
            arrays[f"longer/inputs/{key}.mask"] = np.concatenate([mask, np.zeros((len(value), 2), bool)], axis=1)
        elif not key.endswith(".mask"):
            arrays[f"longer/inputs/{key}"] = value
    return arrays
