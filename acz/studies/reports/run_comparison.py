"""The contents of run folders side by side: figures of each run, and differences between runs of one experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.evaluation.metrics.figures import SEVERAL_LABELS, deciding
from acz.model.spec import Spec
from acz.training.log import read_log
from acz.training.run_folder import read_run
from acz.zoo.config import Config, load_config

BESIDE_CONFIGURATION = ("backend", "device", "threads", "spec_hash", "data_manifest")
"""Keys of run.json beside the configuration. The first three may differ within one experiment."""


@dataclass(frozen=True)
class ReportedRun:
    """A run folder, read."""

    folder: Path
    label: str
    """A name that no other run of the report has."""
    number: int
    """The place in the report, which picks the colour."""
    run: dict[str, Any]
    """The contents of run.json."""
    config: Config
    lines: list[dict[str, Any]]
    """The lines of metrics.jsonl."""

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("kind") == kind]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return self.of_kind("evaluation")

    @property
    def several_labels(self) -> bool:
        """True where the evaluations have YouTube-8M's figures."""
        return any(set(SEVERAL_LABELS) & set(line) for line in self.epochs)

    @property
    def best(self) -> dict[str, Any]:
        """The line of the best epoch by the deciding figure, the first of equals. Empty before the first epoch ends.

        Epochs on a former data set count only as long as there is no other.
        """
        since = self.run.get("data_since", {}).get("epoch", 0)
        candidates = [line for line in self.epochs if line["epoch"] > since] or self.epochs
        return max(candidates, key=lambda line: line.get(deciding(line).name, -1.0), default={})

    @property
    def checkpoint(self) -> Path | None:
        """The best checkpoint, or the last one before the first epoch ends."""
        paths = (self.folder / f"{name}.safetensors" for name in ("best", "last"))
        return next((path for path in paths if path.is_file()), None)

    @property
    def spec(self) -> Spec:
        return self.config.spec

    @property
    def experiment(self) -> tuple[str, str, str]:
        """Model, recipe and data. They are equal for runs of the same experiment."""
        return self.spec.hash, repr(self.config.recipe), str(self.run.get("data_manifest"))


def read_runs(folders: Sequence[Path]) -> list[ReportedRun]:
    """Read run folders, and give each run a label of its own.

    Raises:
        CheckpointError: A folder is not a run folder.
        SpecError: A run's model is damaged.
    """
    names = [folder.resolve().name for folder in folders]
    runs = []
    for number, folder in enumerate(folders):
        label = names[number] if names.count(names[number]) == 1 else str(folder)
        metrics = folder / "metrics.jsonl"
        lines = read_log(metrics) if metrics.is_file() else []
        run = read_run(folder)
        runs.append(ReportedRun(folder, label, number, run, load_config(run["config"]), lines))
    return runs


@dataclass(frozen=True)
class Difference:
    """The largest difference between runs in one figure."""

    figure: str
    value: float
    epoch: int
    """The epoch of the largest difference."""
    scale: float
    """The largest absolute value of the figure in that epoch."""


def largest_differences(runs: Sequence[ReportedRun]) -> list[Difference]:
    """Compare each figure of the evaluations over the epochs that all runs have.

    Returns:
        One difference a figure; an empty list for a single run, or where no epoch is shared.
    """
    tables = [{line["epoch"]: line for line in run.epochs} for run in runs]
    shared = sorted(set.intersection(*map(set, tables))) if tables else []
    largest = []
    for figure in ("loss", "top1", "top5", *SEVERAL_LABELS, "map_at_k", "train_loss", "train_top1"):
        differences = []
        for epoch in shared:
            values = [table[epoch][figure] for table in tables if figure in table[epoch]]
            if len(values) == len(runs) > 1:
                differences.append(Difference(figure, max(values) - min(values), epoch, max(map(abs, values))))
        if differences:
            largest.append(max(differences, key=lambda difference: difference.value))
    return largest


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Flatten a nested mapping: dotted paths to values."""
    if not isinstance(tree, dict):
        return {path: tree}
    values: dict[str, Any] = {}
    for key, value in tree.items():
        values |= flat(value, f"{path}.{key}" if path else str(key))
    return values


def settings_that_differ(runs: Sequence[ReportedRun]) -> list[list[str]]:
    """Rows of a path and each run's value, for every setting that differs between runs."""
    tables = [flat(run.run["config"]) | {key: run.run.get(key) for key in BESIDE_CONFIGURATION} for run in runs]
    paths = dict.fromkeys(path for table in tables for path in table)
    rows = [[path, *(str(table.get(path, "")) for table in tables)] for path in paths]
    return [row for row in rows if len(set(row[1:])) > 1]
