"""Backends beside a record, one after the other, so that one model of full size is in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acz.backend.devices import split_device, split_participant
from acz.backend.worker import Wrapper
from acz.foundation.errors import AczError
from acz.foundation.progress import Progress
from acz.model.precision import FULL, Precision
from acz.model.proof import Measurement
from acz.parity.comparison import start_worker
from acz.parity.proof.jobs import CheckArguments, Measured, check
from acz.parity.proof.record import Record
from acz.parity.row import Row

WIDE = ("CPU", "GPU")
"""Kinds of device on which frameworks compute in float64."""
TIMEOUT = 7200.0
"""Seconds that one run of a model may take."""


def check_record(
    path: Path,
    record: Record,
    participants: Sequence[str],
    shown: Progress,
    threads: int = 1,
    wrap: Wrapper | None = None,
) -> list[Row]:
    """Compare backends with a record; an error becomes a row that failed.

    Args:
        path: the record's file, which the workers read.
        record: the same, read.
        participants: names of backends, which may have a device.
        wrap: as in Worker.
    """
    tasks = [
        (participant, precision, run.name)
        for participant in participants
        for precision in FULL
        for run in record.manifest.runs
    ]
    rows: list[Row] = []
    for participant in participants:
        backend, device = split_participant(participant)
        with start_worker(participant, threads, wrap) as worker:
            for number, (whose, precision, run) in enumerate(tasks):
                if whose != participant:
                    continue
                shown("backends", number, len(tasks), f"{participant}, {precision.value}, {run}")
                row = Row(record.manifest.model, backend, 1, f"outputs, {run}", precision.value, device=device)
                if precision is Precision.FLOAT64 and split_device(device)[0] not in WIDE:
                    row.missing = f"{device} is not checked in float64"
                    rows.append(row)
                    continue
                try:
                    arguments = CheckArguments(path.resolve(), precision, run)
                    measured = worker.run(check, arguments, timeout=TIMEOUT)[0]
                except AczError as error:
                    row.problem = str(error)
                    rows.append(row)
                    break
                rows += to_rows(record.manifest.model, participant, precision.value, measured)
    return rows


def to_rows(model: str, participant: str, precision: str, measured: Sequence[Measured]) -> list[Row]:
    """The rows of a job's measurements."""
    backend, device = split_participant(participant)
    rows = []
    for one in measured:
        off, bound = (float("inf") if number is None else number for number in (one.measured, one.bound))
        rows.append(Row(model, backend, one.level, one.check, precision, off, bound, one.where, device=device))
    return rows


def to_measurements(rows: Sequence[Row]) -> tuple[Measurement, ...]:
    """Rows in the form of a proof."""

    def finite(number: float) -> float | None:
        return number if abs(number) < float("inf") else None

    return tuple(
        Measurement(
            backend=row.backend,
            device=row.device,
            level=row.level,
            check=row.check,
            precision=row.precision,
            measured=finite(row.measured),
            bound=finite(row.bound),
            where=row.where[:1000],
            problem=row.problem[:5000],
            missing=row.missing[:5000],
        )
        for row in rows
    )
