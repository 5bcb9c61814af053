"""Figures of Flash-MNIST: the rows of run folders, and the tables made of these, for results.py.

python scripts/results.py flash-mnist docs/results/flash_mnist_best.csv runs/flash_mnist_best ...
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from acz.backend.versions import environment
from acz.data.folder import read_manifest
from acz.foundation.files.tables import read_csv, write_csv
from acz.studies.reports.run_comparison import read_runs

ROWS = ("fc1-units1", "fc1-units2", "fc1-units4", "fc1-units8", "fc2-units1", "fc2-units2", "fc2-units4", "fc2-units8")
"""The rows of the published table with few units, in its order."""
Row = dict[str, str]


def collect(out: Path, sweeps: list[Path]) -> None:
    """Add one row for each finished trial of sweeps to a CSV file. A trial of the same names and seed replaces its row.

    Args:
        out: the file; it may exist.
        sweeps: folders of sweeps; a folder's name, up to the first `@`, is the sweep's name in the file.
    """
    keys = ("sweep", "trial", "backend", "seed")
    rows: dict[tuple[str, ...], dict[str, Any]] = {
        tuple(row[key] for key in keys): row for row in (read_csv(out) if out.is_file() else [])
    }
    for sweep in sweeps:
        for run in read_runs(sorted(path.parent for path in sweep.glob("trials/*/run.json"))):
            if len(run.epochs) < run.config.recipe.epochs:
                continue
            made = read_manifest(Path(run.run["data"])).made
            best, last = run.best, run.epochs[-1]
            row = {
                "sweep": sweep.name.partition("@")[0],
                "trial": run.folder.name.partition(",")[0],
                "model": run.run["name"],
                "backend": last["backend"],
                "seed": str(run.config.recipe.seed),
                "parameters": run.spec.parameter_count,
                "epochs": run.config.recipe.epochs,
                "best_epoch": best["epoch"],
                "best_top1": best["top1"],
                "last_top1": last["top1"],
                "last_loss": last["loss"],
                "last_gap": last.get("gap", ""),
                "spec_hash": run.spec.hash,
                "extractor": made.get("extractor_model") or "flash_mnist/extractor",
                "extractor_epochs": made["extractor_epochs"],
                "extractor_top1": made["extractor_top1"],
                "rule_top1": made.get("rule_top1", ""),
                "training_videos": made["train_videos_per_label"] * 1024,
                "data_seed": made["seed"],
                **environment(),
            }
            rows[tuple(str(row[key]) for key in keys)] = row
    write_csv(out, [rows[key] for key in sorted(rows)])


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def summary(rows: list[Row], figure: str = "last_top1") -> list[str]:
    """The mean, the spread and the seeds of some rows, as cells."""
    values = [float(row[figure]) for row in rows]
    spread = f"{percent(min(values))} to {percent(max(values))}" if len(values) > 1 else ""
    return [percent(mean(values)), spread, ", ".join(row["seed"] for row in rows)]


def by_trial(rows: list[Row], sweep: str) -> dict[str, list[Row]]:
    """The rows of one sweep by trial."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["sweep"] == sweep:
            found[row["trial"]].append(row)
    return found
