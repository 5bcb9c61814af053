"""The results of a sweep's trials: a CSV of figures, one of times, and a table for a page."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acz.evaluation.metrics.figures import deciding
from acz.foundation.errors import AczError
from acz.foundation.files.tables import write_csv
from acz.model.checkpoint import read_state
from acz.studies.reports.page import note, table
from acz.studies.reports.run_comparison import ReportedRun, read_runs
from acz.studies.sweeps.file import Trial

FIGURES = ("top1", "top5", "gap", "loss")
IDENTITY = 16
"""Digits of the data set's hash in the results."""


def finished(folder: Path) -> bool:
    """True where a run reached the end of its recipe."""
    last = folder / "last.safetensors"
    if not (folder / "run.json").is_file() or not last.is_file():
        return False
    try:
        state = read_state(last)
        (run,) = read_runs([folder])
    except AczError:
        return False  # the trial's process will name the damage
    epoch = state.get("epoch")
    return state.get("stopped") is True or (isinstance(epoch, int) and epoch >= run.config.recipe.epochs)


def write_results(folder: Path, trials: Sequence[Trial], runs: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Write sweep.csv and times.csv.

    Equal trials have equal rows in sweep.csv, wherever they ran and however often they were interrupted. Speeds differ,
    so they have a file of their own.

    Args:
        folder: The folder of the sweep.
        trials: All trials.
        runs: The run folders of the trials that are done, by name.

    Returns:
        The rows of sweep.csv.
    """
    finished_runs = {name: read_runs([path])[0] for name, path in runs.items()}
    paths = list(dict.fromkeys(path for trial in trials for path in trial.overrides))
    published = list(dict.fromkeys(name for trial in trials for name in trial.published))
    rows = []
    for trial in trials:
        run = finished_runs.get(trial.name)
        rows.append(
            {
                "trial": trial.name,
                "status": "done" if run else "failed",
                "config": Path(trial.base).name if Path(trial.base).is_absolute() else trial.base,
                "backend": trial.backend,
                "device": trial.device,
                **{path: _text(_value(trial, path)) for path in paths},
                "parameters": trial.config.spec.parameter_count,
                **_figures(run),
                **{f"published.{name}": trial.published.get(name, "") for name in published},
                "seed": trial.config.recipe.seed,
                "spec_hash": trial.config.spec.hash,
                "data": str(run.run.get("data_manifest", ""))[:IDENTITY] if run else "",
                "versions": _versions(run.run) if run else "",
            }
        )
    write_csv(folder / "sweep.csv", rows)
    times = [{"trial": trial.name, **_times(finished_runs.get(trial.name))} for trial in trials]
    write_csv(folder / "times.csv", times)
    return rows


def trials_section(title: str, rows: Sequence[Mapping[str, Any]], failed: Mapping[str, str]) -> tuple[str, str, str]:
    """Write the section of a report about all trials.

    Args:
        title: The name of the sweep.
        rows: The rows of sweep.csv.
        failed: The last words of the trials that failed, by name.

    Returns:
        The section's name, heading and HTML.
    """
    varied = [name for name in rows[0] if "." in name and len({row[name] for row in rows}) > 1]
    decides = deciding(name for name in FIGURES if any(row[f"best_{name}"] != "" for row in rows)).name
    columns = ["status", "backend", *varied, "parameters", "bytes", "epochs", f"best_{decides}", "last_loss"]
    columns = list(dict.fromkeys(columns))
    cells = [[str(row["trial"]), *(_short(row[name]) for name in columns)] for row in rows]
    content = table(f"{title}: every trial", ["trial", *columns], cells, (1, 2))
    content += "".join(note(f"{name} failed: {words}") for name, words in failed.items())
    return "sweep", "Sweep", content


def _value(trial: Trial, path: str) -> Any:
    """The value of a trial's configuration at a dotted path, or "".

    A configuration leaves some defaults out, so the override is the value there.
    """
    tree: Any = trial.config.to_dict()
    for part in path.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return trial.overrides.get(path, "")
        tree = tree[part]
    return tree


def _text(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figures(run: ReportedRun | None) -> dict[str, Any]:
    """The size of the checkpoint, and the figures of the best and the last epoch."""
    names = ["bytes", "epochs", "best_epoch"] + [f"{which}_{name}" for which in ("best", "last") for name in FIGURES]
    if run is None or run.checkpoint is None:
        return dict.fromkeys(names, "")
    values = [run.checkpoint.stat().st_size, len(run.epochs), run.best.get("epoch", "")]
    values += [line.get(name, "") for line in (run.best, run.epochs[-1]) for name in FIGURES]
    return dict(zip(names, values, strict=True))


def _versions(run: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={version}" for name, version in {"acz": run["acz"], **run["versions"]}.items())


def _times(run: ReportedRun | None) -> dict[str, Any]:
    """Medians over the training: videos a second, and milliseconds of a step where some batch was full."""
    speeds = [line["videos_per_second"] for line in run.of_kind("train")] if run else []
    if run is None or not speeds:
        return {"videos_per_second": "", "step_ms": ""}
    speed = statistics.median(speeds)
    full_batches = run.epochs[-1]["step"] > run.epochs[-1]["epoch"]  # else no batch may be full
    return {
        "videos_per_second": speed,
        "step_ms": round(1000 * run.config.recipe.batch_size / speed, 3) if full_batches and speed else "",
    }
