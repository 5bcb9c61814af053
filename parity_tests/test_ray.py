"""Commands over a Ray cluster, as typed: a node is lost in mid-epoch, and the files are those of one process."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acz.model.checkpoint import load_checkpoint
from parity_tests.conftest import require
from parity_tests.ranks_cases import acz, require_same, start
from parity_tests.ray_cases import Nodes
from tests.conftest import TINY, write_features

pytestmark = pytest.mark.slow

EPOCHS = 12
SET = ["--set", f"train.epochs={EPOCHS}", "--set", "train.batch_size=8", "--set", "train.checkpoint_steps=5"]
VIDEOS = 256
STEPS = VIDEOS // 8
"""Steps of an epoch."""


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes()
    try:
        made.start_head(cpus=2)
        yield made
    finally:
        made.close()


def in_mid_epoch(run: Path) -> bool:
    """True where the last checkpoint of a run lies between the ends of two epochs."""
    last = run / "last.safetensors"
    step = load_checkpoint(last).state["step"] if last.is_file() else 0
    return bool(step > STEPS and step % STEPS)


def test_a_node_that_is_lost_in_mid_epoch_changes_no_bit(nodes: Nodes, tmp_path: Path) -> None:
    require("torch")
    data = write_features(tmp_path / "features", videos=VIDEOS)
    run, words = tmp_path / "run", ["train", TINY, "--backend", "torch", "--data", str(data), *SET]
    ray = ["--engine", "ray", "--address", nodes.address]
    raylet = nodes.add(cpus=2, host="127.0.0.2")
    started = [sys.executable, "-m", "acz", *words, "--out", str(run), *ray, "--processes", "4", "--json"]
    process = start(*started, folder=tmp_path, variables=nodes.environment)
    deadline = time.monotonic() + 400
    while not in_mid_epoch(run):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    nodes.lose(raylet)
    nodes.add(cpus=2, host="127.0.0.2")
    result, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    assert json.loads(result)["epochs"] == EPOCHS
    assert told.count("all ranks start again, 1 of 3") == 1, told
    assert "resumes after step" in told
    acz(*words, "--out", tmp_path / "whole", "--processes", "4", "--threads", "4", folder=tmp_path)
    require_same(run, tmp_path / "whole")

    for name, shared in (("one.csv", ["--threads", "1"]), ("two.csv", [*ray, "--processes", "2"])):
        command = [sys.executable, "-m", "acz", "infer", "run", "--out", name, "--batch-size", "2", *shared]
        process = start(*command, folder=tmp_path, variables=nodes.environment)
        _, told = process.communicate(timeout=400)
        assert process.returncode == 0, told
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
