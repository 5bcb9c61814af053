"""What run folders hold, side by side: figures of each run, and how far apart runs of the same experiment are."""

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

OF_RUN = ("backend", "device", "threads", "spec_hash", "data_manifest")
"""What run.json says beside the configuration; the first three are not the experiment's."""


@dataclass(frozen=True)
class Reported:
    """A run. `label` tells it from the others of the report, `number` gives its colour."""

    folder: Path
    label: str
    number: int
    run: dict[str, Any]
    config: Config
    lines: list[dict[str, Any]]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("kind") == kind]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return self.of_kind("evaluation")

    @property
    def several_labels(self) -> bool:
        """Whether its evaluations have YouTube-8M's figures."""
        return any(set(SEVERAL_LABELS) & set(line) for line in self.epochs)

    @property
    def best(self) -> dict[str, Any]:
        """The line of the epoch with the highest GAP or else top-1, the first of equals; empty before the first epoch's end."""
        return max(self.epochs, key=lambda line: line.get(deciding(line).name, -1.0), default={})

    @property
    def checkpoint(self) -> Path | None:
        """The best checkpoint, or the last before the first epoch's end."""
        found = (self.folder / f"{name}.safetensors" for name in ("best", "last"))
        return next((path for path in found if path.is_file()), None)

    @property
    def spec(self) -> Spec:
        return self.config.spec

    @property
    def experiment(self) -> tuple[str, str, str]:
        """Runs with the same are runs of the same experiment: model, recipe and data."""
        return self.spec.hash, repr(self.config.recipe), str(self.run.get("data_manifest"))


def read_runs(folders: Sequence[Path]) -> list[Reported]:
    """Runs under labels that differ. Raises CheckpointError for a folder that is no run, SpecError for a damaged model."""
    names = [folder.resolve().name for folder in folders]
    found = []
    for number, folder in enumerate(folders):
        label = names[number] if names.count(names[number]) == 1 else str(folder)
        metrics = folder / "metrics.jsonl"
        lines = read_log(metrics) if metrics.is_file() else []
        run = read_run(folder)
        found.append(Reported(folder, label, number, run, load_config(run["config"]), lines))
    return found


@dataclass(frozen=True)
class Difference:
    """The largest difference between runs in one figure: its size, where it is, and the figure's largest value there."""

    figure: str
    value: float
    epoch: int
    scale: float


def largest_differences(runs: Sequence[Reported]) -> list[Difference]:
    """For each figure of the evaluations over the epochs that all runs have; empty for a single run or no such epoch."""
    tables = [{line["epoch"]: line for line in run.epochs} for run in runs]
    shared = sorted(set.intersection(*map(set, tables))) if tables else []
    found = []
    for figure in ("loss", "top1", "top5", *SEVERAL_LABELS, "train_loss", "train_top1"):
        spread = []
        for epoch in shared:
            values = [table[epoch][figure] for table in tables if figure in table[epoch]]
            if len(values) == len(runs) > 1:
                spread.append(Difference(figure, max(values) - min(values), epoch, max(map(abs, values))))
        if spread:
            found.append(max(spread, key=lambda difference: difference.value))
    return found


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """A nested mapping as one from dotted paths to values."""
    if not isinstance(tree, dict):
        return {path: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{path}.{key}" if path else str(key))
    return found


def settings_that_differ(runs: Sequence[Reported]) -> list[list[str]]:
    """Rows of a path and each run's value, for every setting that is not the same in all runs."""
    tables = [flat(run.run["config"]) | {key: run.run.get(key) for key in OF_RUN} for run in runs]
    paths = dict.fromkeys(path for table in tables for path in table)
    rows = [[path, *(str(table.get(path, "")) for table in tables)] for path in paths]
    return [row for row in rows if len(set(row[1:])) > 1]
