"""Studies of many runs: a page about runs, and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.api.results import Result, reports_progress, require_counts
from acz.backend.registry import find_info, installed
from acz.backend.versions import environment
from acz.data.registry import fingerprint, open_split, recognise
from acz.data.vocabulary import read_labels
from acz.foundation.errors import AczError, DataError, MissingError, SpecError, nearest
from acz.foundation.files.tables import markdown, write_csv
from acz.foundation.installation import install_command
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.studies.benchmarks.groups import GROUPS
from acz.studies.benchmarks.measure import Bench, Row, to_table
from acz.studies.reports.report import Options, Section, write_report
from acz.studies.reports.run_comparison import ReportedRun, read_runs
from acz.studies.reports.run_data import OpenedData, RunData
from acz.training.latest import latest_run

COLUMNS = ("group", "what", "backend", "setting", "value", "unit", "ratio", "against", "floor")
"""The columns of the table of benchmarks."""
PARITY = Path(__file__).parents[2] / "docs/results/parity.csv"
"""The parity results of a checkout."""


@dataclass(frozen=True, repr=False)
class Report(Result):
    """A page about runs."""

    path: Path
    runs: tuple[str, ...]
    largest_differences: tuple[Mapping[str, Any], ...]
    """The distances between runs of the same experiment: figure, value, epoch."""
    missing: Mapping[str, str]
    """Parts that could not be made, with the reasons."""

    def to_json(self) -> dict[str, Any]:
        return {
            "report": str(self.path),
            "runs": list(self.runs),
            "largest_differences": [dict(difference) for difference in self.largest_differences],
            "missing": dict(self.missing),
        }

    def __str__(self) -> str:
        lines = [f"without {part}: {problem}" for part, problem in self.missing.items()]
        return "\n".join([*lines, f"{self.path}: {len(self.runs)} run{'s' if len(self.runs) > 1 else ''}"])


@reports_progress
def report(
    runs: Sequence[str | Path] | str | Path = (),
    out: str | Path | None = None,
    *,
    backend: str | None = None,
    device: str = "CPU",
    videos: int = 3,
    mnist: str | Path | None = None,
    parity: str | Path | None = None,
    class_names: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write one page about one run or several, of any framework.

    It shows curves, mistakes, attention, configurations, versions, parity and exports.

    Args:
        runs: folders of runs; by default the latest.
        out: the page; by default report.html in the run's folder, or here for several.
        backend: what computes predictions and attention; by default NumPy where that is quick, else the run's own.
        videos: how many videos are drawn.
        mnist: the folder of MNIST's files, if the videos were made from them.
        parity: a CSV file that `acz parity-check --csv` wrote.
        class_names: names of the classes: a line each, or a CSV file with Index and Name.

    Raises:
        CheckpointError: a folder holds no run.
        DataError: the parity file is not one.
    """
    require_counts(threads=threads)
    named = [runs] if isinstance(runs, str | Path) else list(runs)
    folders = [Path(run) for run in named] or [latest_run()]
    path = Path(out) if out else (folders[0] / "report.html" if len(folders) == 1 else Path("report.html"))
    if parity is not None and not Path(parity).is_file():
        raise DataError(f"there is no file {parity}; 'acz parity-check --csv {parity}' writes one")
    options = Options(
        backend=backend,
        device=device,
        threads=threads or cores(),
        videos=videos,
        mnist=None if mnist is None else Path(mnist),
        parity=[*(folder / "parity.csv" for folder in folders), PARITY] if parity is None else [Path(parity)],
        labels=read_labels(Path(class_names)) if class_names else None,
    )
    opened = read_runs(folders)
    with show_progress(progress) as shown:
        written = write_report(opened, _open_data(opened), path, options, shown)
    differences = [
        {"figure": difference.figure, "value": difference.value, "epoch": difference.epoch}
        for difference in written.largest_differences
    ]
    return Report(path, written.runs, tuple(differences), written.missing)


def report_on_trials(
    threads: int, shown: Progress, folders: Sequence[Path], out: Path, above: Sequence[Section]
) -> None:
    """Write the report of a sweep's finished runs, with sections `above`."""
    runs = read_runs(folders)
    options = Options(threads=threads, videos=1, parity=[*(folder / "parity.csv" for folder in folders), PARITY])
    write_report(runs, _open_data(runs), out, options, shown, above)


def _open_data(runs: Sequence[ReportedRun], split: str = "test") -> OpenedData:
    """Open the data of runs, each data set once.

    Returns:
        The data by the label of a run, or the error that says why they cannot be used.
    """
    identities: dict[Path, str] = {}
    opened: dict[tuple[Path, str], RunData] = {}

    def open_one(run: ReportedRun) -> RunData:
        location = Path(run.run["data"])
        if location not in identities:
            identities[location] = fingerprint(location)
        if identities[location] != run.run.get("data_manifest"):
            raise DataError(f"{location} is no longer the data set that the run was trained on")
        key = location, repr(run.config.fitted_reading)
        if key not in opened:
            description = recognise(location).describe(location)
            opened[key] = RunData(location, open_split(location, split, run.config.fitted_reading), description)
        return opened[key]

    data: dict[str, RunData | AczError] = {}
    for run in runs:
        try:
            data[run.label] = open_one(run)
        except AczError as error:
            data[run.label] = error
    return data


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

    The compared programs take turns, so that a busy machine slows both.
    The ratio is the median of the ratios of all turns.

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
            f"nothing to measure: no framework is installed; {install_command('acz[torch]')} brings the smallest"
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
