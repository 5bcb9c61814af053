"""`acz bench`: each group measures something, with one short round."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from acz.studies.benchmarks.groups import GROUPS
from parity_tests.conftest import require

pytestmark = pytest.mark.slow

LONG = {"youtube8m", "train", "circulant"}
"""Groups that train at a published size, or compare many sizes, whatever the length of a round."""


@pytest.mark.parametrize("group", [name for name in GROUPS if name not in LONG])
def test_a_group_measures_positive_figures(group: str, tmp_path: Path) -> None:
    require("torch")
    words = ("--only", group, "--backends", "torch", "--rounds", 1, "--seconds", 0.01)
    command = [sys.executable, "-m", "acz", "bench", *map(str, words), "--json", "--csv", str(tmp_path / "figures.csv")]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert answer.returncode == 0, answer.stderr
    rows = json.loads(answer.stdout)
    assert rows
    assert {row["group"] for row in rows} == {group}
    assert all(float(row["value"]) > 0 for row in rows)
    with (tmp_path / "figures.csv").open(newline="") as file:
        assert [row["what"] for row in csv.DictReader(file)] == [row["what"] for row in rows]
