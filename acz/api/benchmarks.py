"""Benchmarks: every figure beside what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.api.results import Result, reports_progress, require_counts
from acz.backend.registry import find_info, installed
from acz.backend.versions import environment
from acz.foundation.errors import MissingError, SpecError, nearest
from acz.foundation.files.tables import markdown, write_csv
from acz.foundation.progress import Progress, show_progress
from acz.studies.benchmarks.groups import GROUPS
from acz.studies.benchmarks.measure import Bench, Row, to_table

COLUMNS = ("group", "what", "backend", "setting", "value", "unit", "ratio", "against", "floor")


@dataclass(frozen=True, repr=False)
class BenchReport(Result):
    """Measured figures."""

    rows: tuple[Row, ...]
    threads: int

    def to_json(self) -> list[dict[str, Any]]:
        return to_table(list(self.rows), self.threads, environment())

    def to_csv(self, path: str | Path) -> None:
        """Write every figure, with versions, to a CSV file."""
        write_csv(Path(path), self.to_json())

    def table(self) -> list[list[str]]:
        """The cells of COLUMNS, a line for each figure."""
        return [[str(row[name]) for name in COLUMNS] for row in self.to_json()]

    def __str__(self) -> str:
        return markdown(list(COLUMNS), self.table())


@reports_progress
def bench(
    only: Sequence[str] | None = None,
    *,
    backends: Sequence[str] | None = None,
    threads: int = 1,
    rounds: int = 5,
    seconds: float = 3.0,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure training steps, inference, reading, start-up and memory in every backend, beside a baseline.

    The compared programs take turns, so that a busy machine slows both. The ratio is the median of the ratios of all turns.

    Args:
        only: names of groups; by default all.
        backends: by default all that are installed.
        threads: threads on the CPU. One gives the steadiest figures.
        rounds: how often the compared programs take turns.
        seconds: length of a turn.

    Raises:
        SpecError: a group or a backend is unknown, or a count is not positive.
        MissingError: a backend is not installed, or nothing can be measured.
    """
    require_counts(threads=threads, rounds=rounds)
    if seconds <= 0:
        raise SpecError(f"seconds must be above 0, got {seconds}")
    for name in only or []:
        if name not in GROUPS:
            raise SpecError(f"there is no benchmark '{name}'; {nearest(name, GROUPS)}")
    names = installed() if backends is None else list(dict.fromkeys(backends))
    for name in names:
        find_info(name)
    if not names:
        raise MissingError(
            'nothing to measure: no framework is installed; pip install "acz[torch]" brings the smallest'
        )
    groups = [name for name in GROUPS if name in (only or GROUPS)]
    rows: list[Row] = []
    with show_progress(progress) as shown:
        setting = Bench(names, threads, rounds, seconds, shown)
        for name in groups:
            for row in GROUPS[name](setting):
                rows.append(row)
                ratio = f"  {row.ratio:.2f} of {row.against}" if row.ratio else ""
                shown.line(f"{row.what}, {row.backend} {row.setting}: {row.value:.3g} {row.unit}{ratio}")
    if not rows:
        raise MissingError(f"nothing to measure: {', '.join(names)} have no part in {', '.join(groups)}")
    return BenchReport(tuple(rows), threads)
