"""A sweep from its trials to its results. The folder of a sweep has these files:

trials/NAME/     the run folder of each trial, as `acz train` writes it
logs/NAME.log    the output of the trial's process
sweep.csv        a row for each trial: settings, parameters, bytes, figures; the same wherever the trial ran
times.csv        speeds
report.html      one page about all trials
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acz.backend.devices import split_device
from acz.evaluation.metrics.figures import deciding
from acz.foundation.errors import CheckpointError, DataError, Interrupted, SpecError
from acz.foundation.files.locks import locked
from acz.foundation.progress import Progress
from acz.studies.reports.report import Section
from acz.studies.reports.run_comparison import flat, read_runs
from acz.studies.sweeps.file import Trial
from acz.studies.sweeps.results import finished, trials_section, write_results
from acz.studies.sweeps.trial import Job, Outcomes
from acz.training.run_folder import read_run
from acz.zoo.config import Config, load_config

Engine = Callable[[Sequence[Job], Progress], Outcomes]
"""Runs jobs, and yields the outcome of each when it has ended."""
WritePage = Callable[[Sequence[Path], Path, Sequence[Section]], None]
"""Writes the report of runs, given their folders, the HTML file, and sections above those about the runs."""
MOST_NAMED = 3
"""Settings that an error lists for a trial."""


@dataclass(frozen=True)
class Plan:
    """A trial with its job and its data."""

    trial: Trial
    job: Job
    data: Path

    @property
    def folder(self) -> Path:
        return Path(self.job.folder)

    @property
    def state(self) -> str:
        """`done`, `new`, or the epoch after which it resumes."""
        if finished(self.folder):
            return "done"
        if not (self.folder / "run.json").is_file():
            return "new"
        return f"resumes after epoch {len(read_runs([self.folder])[0].epochs)}"


@dataclass(frozen=True)
class SweepResults:
    """The results of a sweep."""

    csv: Path
    times: Path
    page: Path | None
    """The report; None where no trial is done."""
    failed: dict[str, str]
    """The last words of the trials that failed, by name."""
    rows: list[dict[str, Any]]
    """The rows of the CSV."""


def plan_trials(trials: Sequence[Trial], out: Path, data: Path | None, threads: int) -> list[Plan]:
    """Plan the process of each trial.

    Args:
        trials: The trials.
        out: The folder of the sweep.
        data: The data of all trials; by default those that each configuration names.
        threads: Threads of each process on the CPU.

    Raises:
        DataError: No data are named.
    """
    plans = []
    for trial in trials:
        split_device(trial.device)
        location = data or (Path(trial.config.data.folder) if trial.config.data else None)
        if location is None:
            raise DataError(f"trial {trial.name}: {trial.base} names no data; give a folder with --data")
        folder = (out / "trials" / trial.name).resolve()
        options = ["--backend", trial.backend, "--device", trial.device, "--data", str(location.resolve())]
        options += ["--threads", str(threads), "--out", str(folder)]
        sets = [word for path, value in trial.overrides.items() for word in ("--set", f"{path}={_yaml(value)}")]
        log = (out / "logs" / f"{trial.name}.log").resolve()
        job = Job(
            name=trial.name,
            folder=str(folder),
            log=str(log),
            start=("train", trial.base, *sets, *options),
            resume=("train", "--resume", *options),
        )
        plans.append(Plan(trial, job, location))
    return plans


def run_sweep(
    title: str,
    plans: Sequence[Plan],
    out: Path,
    engine: Engine,
    prepare: Callable[[], None],
    write_page: WritePage,
    shown: Progress,
) -> SweepResults:
    """Run the trials that are not done yet, and write the results.

    Args:
        title: The name of the sweep.
        plans: All trials.
        out: The folder of the sweep, which is locked meanwhile.
        engine: Runs the trials.
        prepare: Checks settings and data, before a trial runs.
        write_page: Writes the report of the trials that are done.
        shown: Progress by trial.

    Raises:
        Interrupted: Ctrl-C was pressed; all trials are saved.
    """
    with locked(out):
        prepare()
        runs = {entry.trial.name: entry.folder for entry in plans if finished(entry.folder)}
        by_name = {entry.trial.name: entry for entry in plans}
        jobs = [entry.job for name, entry in by_name.items() if name not in runs]
        if runs:
            shown.line(f"{len(runs)} of {len(plans)} trials are done already")
        failed: dict[str, str] = {}
        try:
            with closing(engine(jobs, shown)) as outcomes:
                for outcome in outcomes:
                    entry = by_name[outcome.name]
                    if outcome.words:
                        failed[outcome.name] = outcome.words
                    elif not finished(entry.folder):
                        failed[outcome.name] = (
                            f"it ended, but there is no finished run in {entry.folder}; all nodes must share --out"
                        )
                    else:
                        runs[outcome.name] = entry.folder
                    count = f"{len(runs) + len(failed)} of {len(plans)}"
                    shown.line(f"{count}  {outcome.name}: {_result(entry, failed.get(outcome.name))}")
        except Interrupted:
            raise Interrupted(
                f"Interrupted. {len(runs)} of {len(plans)} trials are done, and the others are saved. "
                "Run the same command again to resume."
            ) from None
        rows = write_results(out, [entry.trial for entry in plans], runs)
        page = out / "report.html"
        if runs:
            write_page(list(runs.values()), page, [trials_section(title, rows, failed)])
    return SweepResults(out / "sweep.csv", out / "times.csv", page if runs else None, failed, rows)


def check_unchanged(plans: Sequence[Plan], out: Path, threads: int, fingerprint: Callable[[Path], str]) -> None:
    """Check that each run in the folder began with the settings that its trial has now.

    Args:
        plans: All trials.
        out: The folder of the sweep.
        threads: Threads of each process on the CPU.
        fingerprint: Hashes the data set at a location.

    Raises:
        SpecError: Settings differ; the message names the trials.
        CheckpointError: The data of a run are gone.
    """
    changed = {}
    for entry in plans:
        if (entry.folder / "run.json").is_file() and (changes := _changes(entry, threads, fingerprint)):
            more = f" and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else ""
            changed[entry.trial.name] = ", ".join(changes[:MOST_NAMED]) + more
    if changed:
        listed = "; ".join(f"{name} ({changes})" for name, changes in changed.items())
        raise SpecError(
            f"{out} holds trials with other settings: {listed}. "
            f"Choose another --out, or remove their folders under {out / 'trials'} to train them again"
        )


def _changes(entry: Plan, threads: int, fingerprint: Callable[[Path], str]) -> list[str]:
    """The settings that differ between a run and its trial, in words."""
    kept = read_run(entry.folder)
    was = _settings(load_config(kept["config"])) | {name: kept[name] for name in ("backend", "device", "threads")}
    now = _settings(entry.trial.config) | {
        "backend": entry.trial.backend,
        "device": entry.trial.device,
        "threads": threads,
    }
    try:
        was["data"], now["data"] = kept.get("data_manifest"), fingerprint(entry.data)
    except DataError as error:
        raise CheckpointError(f"trial {entry.trial.name}: its data are gone: {error}") from None
    return [
        f"{path} was {was.get(path)}, is {now.get(path)}" for path in {**was, **now} if was.get(path) != now.get(path)
    ]


def _settings(config: Config) -> dict[str, Any]:
    """The settings of a configuration that determine the numbers of a run, by path."""
    tree = {"model": config.spec.to_dict(), "train": config.recipe.model_dump(mode="json")}
    return flat(tree | {"reading": config.fitted_reading.model_dump(mode="json")})


def _result(entry: Plan, words: str | None) -> str:
    if words is not None:
        return f"failed: {words}"
    best = read_runs([entry.folder])[0].best
    figure = deciding(best)
    return f"best {figure.label} {best[figure.name]:.4f} at epoch {best['epoch']}"


class _Quoting(yaml.SafeDumper):
    """Writes text in double quotes, where a line break is \\n."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _yaml(value: Any) -> str:
    """Write a value on one line, as --set reads it."""
    text: str = yaml.dump(value, Dumper=_Quoting, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
