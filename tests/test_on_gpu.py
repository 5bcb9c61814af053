"""The script for a machine with a card runs, here with the reference on the CPU and tiny models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acz.foundation.files.tables import read_csv

SCRIPT = Path(__file__).parent.parent / "scripts/on_gpu.sh"


def run(folder: Path, **variables: str) -> tuple[int, list[str]]:
    """The exit code, and a line for each part."""
    small = {
        "PYTHON": sys.executable,
        "BACKEND": "numpy",
        "DEVICE": "CPU",
        "UNITS": "",
        "VIDEOS": "128 512",
        "PATIENCE": "20",
    }
    models = {"HIDDEN": "flash_mnist/attention_cluster_hidden:tiny", "LARGE": "youtube8m/attention_cluster:tiny"}
    environ = {**os.environ, **small, **models, **variables}
    answer = subprocess.run(["bash", SCRIPT, folder], env=environ, capture_output=True, text=True, check=False)
    return answer.returncode, (folder / "parts.txt").read_text().splitlines()


@pytest.mark.slow
def test_every_part_runs_and_leaves_its_figures(tmp_path: Path) -> None:
    code, parts = run(tmp_path / "out", CHECKED="layers/batch_norm", PRECISIONS="float32")
    assert code == 0, parts
    assert [line.split(":")[0] for line in parts] == [
        *("card", "parity_layersbatch_norm", "data", "hidden_float32", "large_float32", "steps"),
    ]
    checks = read_csv(tmp_path / "out/parity_layersbatch_norm.csv")
    assert {row["check_level"] for row in checks} == {"outputs", "gradients", "training"}
    assert all(row["passed"] == "True" for row in checks)
    steps = read_csv(tmp_path / "out/steps.csv")
    assert [(row["run"], row["precision"], row["batch"]) for row in steps] == [
        ("hidden_float32", "float32", "64"),
        ("large_float32", "float32", "256"),
    ]
    assert all(float(row["step_ms"]) > 0 for row in steps)


@pytest.mark.slow
def test_a_part_that_fails_is_said_and_ends_no_other(tmp_path: Path) -> None:
    code, parts = run(tmp_path / "out", CHECKED="no_such_model", PRECISIONS="float64")
    assert code == 1, parts
    assert parts[1].startswith("parity_no_such_model: exit code 2")
    assert [line.split(",")[0] for line in parts[2:]] == ["data: exit code 0", "steps: exit code 0"]
