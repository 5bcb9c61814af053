"""A sweep from its trials to its results. The folder of a sweep:

trials/NAME/     the run folder of each trial, as `acz train` writes it
logs/NAME.log    what its process printed
sweep.csv        a row a trial: settings, parameters, bytes, figures; the same wherever it ran
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
from acz.data.registry import fingerprint
from acz.evaluation.metrics.figures import deciding
from acz.foundation.errors import CheckpointError, DataError, Interrupted, SpecError
from acz.foundation.files.locks import locked
from acz.foundation.progress import Progress
from acz.studies.reports.run_comparison import flat, read_runs
from acz.studies.sweeps.file import Trial
from acz.studies.sweeps.results import finished, write_page, write_results
from acz.studies.sweeps.trial import Job, Outcomes
from acz.training.run_folder import read_run
from acz.zoo.config import Config, load_config

Engine = Callable[[Sequence[Job], Progress], Outcomes]
MOST_NAMED = 3
"""Settings that an error lists for a trial."""


@dataclass(frozen=True)
class Plan:
    """A trial, its job, and the data that it trains on."""

    trial: Trial
    job: Job
    data: Path

    @property
    def folder(self) -> Path:
        return Path(self.job.folder)

    @property
    def state(self) -> str:
        """`done`, `new`, or how far it came."""
        if finished(self.folder):
            return "done"
        if not (self.folder / "run.json").is_file():
            return "new"
        return f"resumes after epoch {len(read_runs([self.folder])[0].epochs)}"


def plan(trials: Sequence[Trial], out: Path, data: Path | None, threads: int) -> list[Plan]:
    """Each trial with what its process is told. Raises DataError where no data are named."""
    plans = []
    for trial in trials:
        split_device(trial.device)
        where = data or (Path(trial.config.data.folder) if trial.config.data else None)
        if where is None:
            raise DataError(f"trial {trial.name}: {trial.base} names no data; give a folder with --data")
        folder = (out / "trials" / trial.name).resolve()
        how = ["--backend", trial.backend, "--device", trial.device, "--data", str(where.resolve())]
        how += ["--threads", str(threads), "--out", str(folder)]
        sets = [word for path, value in trial.overrides.items() for word in ("--set", f"{path}={_yaml(value)}")]
        log = (out / "logs" / f"{trial.name}.log").resolve()
        job = Job(trial.name, str(folder), str(log), ("train", trial.base, *sets, *how), ("train", "--resume", *how))
        plans.append(Plan(trial, job, where))
    return plans


def run_sweep(
    title: str,
    plans: Sequence[Plan],
    out: Path,
    threads: int,
    engine: Engine,
    prepare_data: Callable[[], None],
    shown: Progress,
) -> dict[str, Any]:
    """Run what is not done yet, and write the results. Gives them, with the last words of trials that failed.

    Raises SpecError where the folder holds trials with other settings, DataError for data that do not fit, Interrupted.
    """
    with locked(out):
        check_unchanged(plans, out, threads)
        prepare_data()
        runs = {entry.trial.name: entry.folder for entry in plans if finished(entry.folder)}
        by_name = {entry.trial.name: entry for entry in plans}
        jobs = [entry.job for name, entry in by_name.items() if name not in runs]
        if runs:
            shown.line(f"{len(runs)} of {len(plans)} trials are done already")
        words: dict[str, str] = {}
        try:
            with closing(engine(jobs, shown)) as outcomes:
                for outcome in outcomes:
                    entry = by_name[outcome.name]
                    if outcome.words:
                        words[outcome.name] = outcome.words
                    elif not finished(entry.folder):
                        words[outcome.name] = (
                            f"it ended, but its run is not to be seen in {entry.folder}; all nodes must share --out"
                        )
                    else:
                        runs[outcome.name] = entry.folder
                    place = f"{len(runs) + len(words)} of {len(plans)}"
                    shown.line(f"{place}  {outcome.name}: {_result(entry, words.get(outcome.name))}")
        except Interrupted:
            raise Interrupted(
                f"interrupted; {len(runs)} of {len(plans)} trials are done, the others are saved. Run the same command again to resume"
            ) from None
        rows = write_results(out, [entry.trial for entry in plans], runs)
        page = out / "report.html"
        if runs:
            write_page(page, title, rows, runs, words, threads, shown)
    return {
        "folder": str(out),
        "csv": str(out / "sweep.csv"),
        "times": str(out / "times.csv"),
        "report": str(page) if runs else None,
        "failed": words,
        "trials": rows,
    }


def check_unchanged(plans: Sequence[Plan], out: Path, threads: int) -> None:
    """Raise SpecError that names each trial whose run was begun with other settings than it has now."""
    changed = {}
    for entry in plans:
        if (entry.folder / "run.json").is_file() and (what := _changes(entry, threads)):
            more = f" and {len(what) - MOST_NAMED} more" if len(what) > MOST_NAMED else ""
            changed[entry.trial.name] = ", ".join(what[:MOST_NAMED]) + more
    if changed:
        listed = "; ".join(f"{name} ({what})" for name, what in changed.items())
        raise SpecError(
            f"{out} holds trials with other settings: {listed}. "
            f"Choose another --out, or remove their folders under {out / 'trials'} to train them anew"
        )


def _changes(entry: Plan, threads: int) -> list[str]:
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
    """Everything in a configuration that the numbers of a run follow from, by path."""
    tree = {"model": config.spec.to_dict(), "train": config.recipe.model_dump(mode="json")}
    return flat(tree | {"reading": config.reading.model_dump(mode="json")})


def _result(entry: Plan, words: str | None) -> str:
    if words is not None:
        return f"failed: {words}"
    best = read_runs([entry.folder])[0].best
    figure = deciding(best)
    return f"best {figure.label} {best[figure.name]:.4f} at epoch {best['epoch']}"


class _Quoting(yaml.SafeDumper):
    """Writes text in double quotes, which have a line break as \\n."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _yaml(value: Any) -> str:
    """A value on one line, as --set reads it."""
    text: str = yaml.dump(value, Dumper=_Quoting, default_flow_style=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
