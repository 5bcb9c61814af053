"""The job of a worker: a backend beside a record. The record travels as a file; measurements come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array, Arrays
from acz.model.precision import Precision
from acz.parity.proof.directions import along, directions
from acz.parity.proof.record import MODES, NumberAnswer, Record, RunAnswers, read_record, statistics
from acz.parity.proof.reference import fed, stride
from acz.reference.bounds import FLOAT64, difference


@dataclass(frozen=True)
class CheckArguments:
    """A record, and the run of it to compare."""

    record: Path
    precision: Precision
    run: str
    """The name of a run: `data, training`."""


@dataclass(frozen=True)
class Measured:
    """The outcome of one check. `measured` and `bound` are None where they are not finite."""

    level: int
    check: str
    measured: float | None
    bound: float | None
    where: str


def check(backend: Backend, arguments: CheckArguments, arrays: Mapping[str, Array]) -> tuple[list[Measured], Arrays]:
    """A job: compare one run of a backend with the answers of a record."""
    record = read_record(arguments.record)
    run = next(run for run in record.manifest.runs if run.name == arguments.run)
    dtype = arguments.precision.storage
    model = backend.build(record.spec, "CPU", arguments.precision.value)
    parameters = {path: np.asarray(value, dtype) for path, value in record.parameters.items()}
    backend.load_parameters(model, parameters)
    batch = record.batches[run.batch]
    inputs, training = fed(batch.inputs, dtype), MODES[run.mode]
    with np.errstate(all="ignore"):
        values = backend.forward(model, inputs, training, batch.dropout, list(record.spec.recordable))
        if training and record.spec.statistics:
            after = backend.dump_parameters(model)
            values |= {f"updated.{path}": after[path] for path in record.spec.statistics}
        measured = [Measured(1, f"outputs, {run.name}", *nearest(_of_values(record, run, arguments.precision, values)))]
        del values
        backend.load_parameters(model, parameters)
        loss, gradients = backend.loss_and_gradients(
            model, inputs, _labels(batch.labels, dtype), record.manifest.loss, batch.dropout, training
        )
    wide = arguments.precision is Precision.FLOAT64
    off = _of_number(run.loss, loss, wide)
    measured.append(Measured(2, f"loss, {run.name}", *nearest([("loss", *off)])))
    if run.directions:
        compared = []
        for name, paths in directions(record.spec).items():
            answer = run.directions[name]
            compared.append((name, *_of_number(answer, along(name, paths, gradients), wide)))
        measured.append(Measured(2, f"directions, {run.name}", *nearest(compared)))
    return measured, {}


def _labels(labels: Array, dtype: Any) -> Array:
    return labels.astype(dtype) if labels.dtype.kind == "f" else labels


def _of_values(
    record: Record, run: RunAnswers, precision: Precision, values: Mapping[str, Array]
) -> list[tuple[str, float, float]]:
    """Name, difference and bound of every value, in the order of execution."""
    order = [*record.spec.recordable, "logits", "output", *(statistics(record.spec) if MODES[run.mode] else [])]
    compared = []
    for name in order:
        answer, expected = run.values[name], record.answers[f"{run.name}/{name}"]
        value = values.get(name)
        if value is None or value.shape != answer.shape or not np.isfinite(value).all():
            off = float("inf")
        else:
            off = difference(value.reshape(-1)[:: stride(answer.shape)], expected, answer.scale)
        compared.append((name, off, FLOAT64 if precision is Precision.FLOAT64 else answer.bound))
    return compared


def _of_number(answer: NumberAnswer, value: float, wide: bool) -> tuple[float, float]:
    """The difference of a number, and its bound."""
    off = abs(float(value) - answer.value) / answer.scales[0 if wide else 1]
    return off if np.isfinite(off) else float("inf"), FLOAT64 if wide else answer.bound


def nearest(compared: list[tuple[str, float, float]]) -> tuple[float | None, float, str]:
    """The first that leaves its bound, else the one nearest to it."""
    outside = [entry for entry in compared if not entry[1] <= entry[2]]
    name, off, bound = outside[0] if outside else max(compared, key=lambda entry: entry[1] / entry[2])
    return off if np.isfinite(off) else None, bound, name
