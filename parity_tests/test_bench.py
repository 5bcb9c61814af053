"""`acz bench`: each group measures something, in one short round of small settings."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import acz
from acz.studies.benchmarks import circulant, commands, features, metrics, processes, steps, vlad, youtube8m, zoo
from acz.studies.benchmarks.groups import GROUPS
from parity_tests.conftest import require

pytestmark = pytest.mark.slow

ALSO = {
    "loop": {"floor", "machine"},
    "vlad": {"floor", "machine"},
    "step": {"memory"},
    "inference": {"memory"},
    "start": {"memory", "start"},
}
"""Groups of rows that a group measures beside its own."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are arguments of the workers' jobs, so they are changed here."""
    for module, settings in {
        circulant: {"SIZES": ((32, 32),)},
        commands: {"VIDEOS": 256 * 3, "EPOCHS": 2},
        features: {"VIDEOS": 512},
        metrics: {"VIDEOS": 2000, "TURN": 1000},
        steps: {"INFERENCE_SIZES": (1,), "STEP_SETTINGS": {"128 units, fc 2, batch 64": (128, 64)}},
        vlad: {"SIZES": ((15, 128),), "VIDEOS": 8, "CLASSES": 50},
        processes: {"SETTINGS": (("flash_mnist/extractor", 4),), "MOST_STEPS": 2},
        zoo: {"MODELS": ("flash_mnist/extractor",), "VIDEOS": (4,)},
        youtube8m: {
            "VIDEOS": 32,
            "SHARDS": 2,
            "BATCH": 8,
            "FRAMES": (2, 5),
            "WORKERS": (0, 1),
            "MODEL": "youtube8m/frame_average",
            "TRAINING_BATCH": 8,
            "EPOCHS": 2,
        },
    }.items():
        for name, value in settings.items():
            monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_measures_positive_figures(group: str, tmp_path: Path) -> None:
    require("torch")
    report = acz.bench([group], backends=["torch"], rounds=1, seconds=0.01, progress=acz.Progress())
    assert group in {row.group for row in report.rows}
    assert {row.group for row in report.rows} <= {group} | ALSO.get(group, {"memory"})
    for row in report.rows:
        assert row.value > 0 or "wait" in row.what or "sums" in row.what, row
    report.to_csv(tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open(newline="") as file:
        assert [row["what"] for row in csv.DictReader(file)] == [row.what for row in report.rows]
