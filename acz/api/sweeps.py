"""Sweeps: many runs at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from glob import glob
from pathlib import Path
from typing import Any

from acz.api.results import Result, reports_progress, require_counts
from acz.api.runs import is_made_here
from acz.api.studies import report_on_trials
from acz.backend.registry import REFERENCE, default_backend, find_info, require_here
from acz.data.base import Data
from acz.data.registry import fingerprint, open_training
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.local import require_local
from acz.foundation.processes import ray_cluster
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.model.losses import choose_loss
from acz.studies.sweeps.cluster import run_on_ray
from acz.studies.sweeps.file import expand, find_sweep, read_sweep
from acz.studies.sweeps.local import run_here
from acz.studies.sweeps.run import Plan, check_unchanged, plan_trials, run_sweep
from acz.training.latest import RUNS


@dataclass(frozen=True, repr=False)
class Sweep(Result):
    """A sweep that ran."""

    folder: Path
    csv: Path
    times: Path
    report: Path | None
    failed: Mapping[str, str]
    """Last words of the trials that failed, by name."""
    trials: tuple[Mapping[str, Any], ...]
    """A row for each trial: settings and figures."""

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "csv": str(self.csv),
            "times": str(self.times),
            "report": str(self.report) if self.report else None,
            "failed": dict(self.failed),
            "trials": [dict(row) for row in self.trials],
        }

    def __str__(self) -> str:
        return f"{self.csv}" + (f", {self.report}" if self.report else "")


@dataclass(frozen=True, repr=False)
class PlannedTrial(Result):
    """A trial of a sweep that has not run, or is not done."""

    name: str
    config: str
    backend: str
    parameters: int
    state: str
    """`done`, `new`, or how far it came."""
    command: tuple[str, ...]
    folder: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "trial": self.name,
            "state": self.state,
            "command": list(self.command),
            "folder": str(self.folder),
        }

    def __str__(self) -> str:
        return f"{self.name}: {self.config}, {self.backend}, {self.parameters:,} parameters, {self.state}"


@reports_progress
def plan_sweep(
    file: str | Path,
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    backend: str | None = None,
    device: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> list[PlannedTrial]:
    """List the trials of a sweep, and run none. Parameters are those of `sweep`.

    Data that are not there yet are named in a line of progress, and their trials are listed unchecked.

    Raises:
        SpecError, DataError: the file or its trials are not valid, name no data, or cannot read their data.
        MissingError: a backend is missing.
    """
    plans, folder, _ = _plans(file, out, data, backend, device, overrides, threads)
    check_unchanged(plans, folder, threads, cache(fingerprint))
    missing = [entry for entry in plans if not _has_data(entry)]
    with show_progress(progress) as shown:
        _require_fit([entry for entry in plans if entry not in missing])
        for location in dict.fromkeys(entry.data for entry in missing):
            count = sum(entry.data == location for entry in missing)
            shown.line(f"{location}: no data are there yet, so {count} of {len(plans)} trials are not checked with it")
    return [
        PlannedTrial(
            entry.trial.name,
            entry.trial.base,
            entry.trial.backend,
            entry.trial.config.spec.parameter_count,
            entry.state,
            ("acz", *entry.job.start),
            entry.folder,
        )
        for entry in plans
    ]


@reports_progress
def sweep(
    file: str | Path,
    *,
    out: str | Path | None = None,
    data: str | Path | None = None,
    backend: str | None = None,
    device: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    threads: int = 1,
    engine: str = "local",
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Train every trial of a grid or list of overrides, each in a process of its own.

    The same call resumes a sweep that was interrupted or killed. Finished trials are kept, and the others resume from
    their last checkpoints.

    Args:
        file: a sweep's YAML file, or one of the zoo: `flash_mnist_table`.
        out: the sweep's folder; by default runs/NAME.
        data: the data set of all trials; by default the configurations'.
        backend, device: of trials that name none; by default the file's, or the first installed and the CPU.
        overrides: values by dotted path, for all trials; they may change nothing that varies.
        jobs: trials at a time on this machine; by default a core each on the CPU, else 1.
        threads: threads of each trial on the CPU; the last bits of its figures depend on it.
        engine: `local`, or `ray`: a task of a Ray cluster for each trial.
        address: of a running Ray cluster; by default one is started on this machine.
        resources: what a trial takes of a Ray node: `{"GPU": 1}`.
        retries: tries again of a trial whose Ray worker was lost; by default 3.

    Raises:
        SpecError, DataError: the file, its trials or the data are not valid.
        MissingError: a backend, Ray, or a resource is missing.
        Interrupted: Ctrl-C was pressed; all trials are saved.
    """
    require_engine(engine, jobs, address, resources, retries)
    require_counts(threads=threads)
    plans, folder, title = _plans(file, out, data, backend, device, overrides, threads)
    if engine == "ray":
        wanted = {"CPU": float(threads), **(resources or {})}
        run = partial(run_on_ray, address, wanted, ray_cluster.RETRIES if retries is None else retries)
    else:
        on_cpu = all(entry.trial.device == "CPU" for entry in plans)
        run = partial(run_here, jobs or (max(1, cores() // threads) if on_cpu else 1))
    with show_progress(progress) as shown:
        prepare, write_page = partial(prepare_sweep, plans, folder, threads), partial(report_on_trials, threads, shown)
        results = run_sweep(title, plans, folder, run, prepare, write_page, shown)
    return Sweep(folder, results.csv, results.times, results.page, results.failed, tuple(results.rows))


def require_engine(
    engine: str,
    jobs: int | None = None,
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int | None = None,
) -> None:
    """Raise SpecError unless these settings of `sweep` fit each other."""
    ray_cluster.require_engine(engine, address, resources, retries)
    if engine == "ray" and jobs is not None:
        raise SpecError("--jobs is of this machine; on Ray, --resources CPU=N says how many trials a node takes")
    require_counts(jobs=jobs)


def _plans(
    file: str | Path,
    out: str | Path | None,
    data: str | Path | None,
    backend: str | None,
    device: str | None,
    overrides: Mapping[str, Any] | None,
    threads: int,
) -> tuple[list[Plan], Path, str]:
    """Plan the trials, and find the folder and the title of the sweep.

    Raises:
        MissingError: a backend is not here.
    """
    require_local(out, data)
    path = find_sweep(str(file))
    read = read_sweep(path)
    chosen = read.model_copy(update={"backend": backend or read.backend, "device": device or read.device})
    trials = expand(chosen, path.parent, default_backend, dict(overrides or {}))
    for name in dict.fromkeys(trial.backend for trial in trials):
        if name != REFERENCE:
            require_here(name)
            find_info(name)  # its framework is not loaded into this process
    folder = Path(out) if out else RUNS / path.stem
    return plan_trials(trials, folder, None if data is None else Path(data), threads), folder, path.stem


def prepare_sweep(plans: Sequence[Plan], folder: Path, threads: int) -> None:
    """Check that a sweep can start or resume. The small data set of digits is made where it is named and missing.

    Raises:
        SpecError: the folder holds trials with other settings.
        DataError: a trial cannot read its data.
    """
    check_unchanged(plans, folder, threads, cache(fingerprint))
    for entry in plans:
        if is_made_here(entry.trial.config, entry.data):
            _make_digits(entry.data, entry.trial.backend, threads)
    _require_fit(plans)


def _has_data(entry: Plan) -> bool:
    """True where the data of a trial are there. The small data set of digits may still have to be made."""
    return not is_made_here(entry.trial.config, entry.data) and bool(entry.data.exists() or glob(str(entry.data)))


def _require_fit(plans: Sequence[Plan]) -> None:
    """Raise DataError where a trial's model or loss cannot read its data. Each data set is opened once."""
    opened: dict[tuple[Path, str], list[Data]] = {}
    for entry in plans:
        config = entry.trial.config
        key = entry.data, repr(config.fitted_reading)
        try:
            if key not in opened:
                opened[key] = [*open_training(entry.data, config.fitted_reading)]
            for split in opened[key]:
                split.require(config.spec, choose_loss(config.recipe.loss, config.spec))
        except DataError as error:
            raise DataError(f"trial {entry.trial.name}: {error}") from None


def _make_digits(folder: Path, backend: str, threads: int) -> None:
    """In a process of its own, as it needs a framework; once, before trials that run at the same time would make it."""
    words = ["data", "flash-mnist", "--digits", "--out", str(folder), "--backend", backend, "--threads", str(threads)]
    done = subprocess.run([sys.executable, "-m", "acz", *words], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise DataError(f"the data set {folder} could not be made; the lines above say why")
