"""Rows of figures, and how they are measured.

Every comparison alternates: in each round, each work runs for a stretch of time. The ratio is the median of the rounds'
ratios.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from acz.backend.worker import Worker
from acz.foundation.progress import Progress
from acz.studies.benchmarks.jobs import ClockArguments, RateArguments, clock, hold_rates, list_baselines


@dataclass
class Row:
    """One figure."""

    group: str
    what: str
    backend: str
    setting: str
    value: float
    unit: str
    against: str = ""
    """The work that it is compared with."""
    ratio: float | None = None
    """The value over that of `against`, measured in turn."""
    floor: float | None = None
    """The least that the work could take on this machine, in `unit`."""


@dataclass
class Bench:
    """Settings that the groups share."""

    backends: list[str]
    threads: int
    rounds: int
    """Turns of each work in a comparison."""
    seconds: float
    """Length of a turn."""
    shown: Progress

    def alternate(self, stretches: Mapping[str, tuple[Worker, str]]) -> dict[str, list[float]]:
        """Median seconds of each stretch, one a round: label -> (worker, name of the held work)."""
        times: dict[str, list[float]] = {label: [] for label in stretches}
        for done in range(self.rounds):
            for label, (worker, name) in stretches.items():
                self.shown(label, done, self.rounds)
                times[label].append(self.clock(worker, name))
        return times

    def clock(self, worker: Worker, name: str) -> float:
        """Median seconds of held work over one stretch."""
        return median(worker.run(clock, ClockArguments(name, 200, self.seconds))[0])


def ratio(times: list[float], baseline: list[float]) -> float:
    """The median, over the rounds, of a time over the baseline's."""
    return median(a / b for a, b in zip(times, baseline, strict=True))


def workers_with(bench: Bench, baselines: str) -> Iterator[tuple[str, Worker]]:
    """Each backend that has a kind of baselines, with a worker of its own; see `jobs.BASELINES`."""
    for name in bench.backends:
        with Worker(name, bench.threads) as worker:
            if baselines in worker.run(list_baselines, None)[0]:
                yield name, worker


@dataclass(frozen=True)
class Rates:
    """The best rates of a machine: float32 operations, and bytes read and written, a second."""

    operations: float
    bytes: float


def measure_rates(worker: Worker, rows: int, inputs: int, outputs: int, copied: int) -> Rates:
    """Rates of the three products of a dense layer, and of a copy."""
    worker.run(hold_rates, RateArguments("rate", rows, inputs, outputs, copied))
    products, copy = (
        median(worker.run(clock, ClockArguments(f"rate {part}", 9, float("inf")))[0]) for part in ("products", "copy")
    )
    return Rates(3 * 2 * rows * inputs * outputs / products, 2 * 4 * copied / copy)


def to_table(rows: list[Row], threads: int, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Flat rows for a CSV file."""
    table = []
    for row in rows:
        cells = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in vars(row).items()}
        table.append({**{k: "" if v is None else v for k, v in cells.items()}, "threads": threads, **environment})
    return json.loads(json.dumps(table))
