"""A short form of the study in parity_tests/rank_kills.py: a rank that is killed while it infers."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity_tests.conftest import require
from parity_tests.rank_kills import KILL, WORLD, prepare, study

pytestmark = pytest.mark.slow


def test_a_rank_is_killed_and_the_inference_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    require("torch")
    _, work = prepare("torch", tmp_path, small=True)
    (tmp_path / "kills").mkdir()
    (kill,) = study(work, "torch", tmp_path / "kills", [KILL], seed=0)
    assert 0 <= kill.rank < WORLD
    assert f"rank {kill.rank} on " in kill.message
