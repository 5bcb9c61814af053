"""Six small trials give the same CSV undisturbed, after Ctrl-C and kill -9, and on a Ray cluster that loses a node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from acz.foundation.files.locks import locked
from acz.foundation.files.tables import read_csv
from acz.studies.sweeps.results import finished
from acz.training.log import read_log
from parity_tests.ray_cases import Nodes
from tests.conftest import TINY, write_features

pytestmark = pytest.mark.slow

EPOCHS = 40
SIX = f"""
config: {TINY}
backend: numpy
set: {{train.epochs: {EPOCHS}, train.batch_size: 16, train.schedule.type: constant, train.checkpoint_steps: 3}}
grid:
  model.streams.features.layers.attention.units: [1, 2, 3]
  train.optimizer.learning_rate: [1e-2, 5e-2]
"""
MINUTES = 4
Found = TypeVar("Found")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's file and its data."""
    made = tmp_path_factory.mktemp("sweep")
    write_features(made / "features", videos=128)
    (made / "six.yaml").write_text(SIX)
    return made


@contextmanager
def sweep(
    folder: Path, out: str, *words: str, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a process of its own, which always ends with the test."""
    command = [sys.executable, "-m", "acz", "sweep", "six.yaml", "--data", "features", "--out", out, *words]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background makes them, and their processes, ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and standard error."""
    text = process.communicate(timeout=60 * MINUTES)[1]
    return process.returncode, text


def to_the_end(folder: Path, out: str, *words: str) -> bytes:
    """Run a sweep; gives its CSV."""
    with sweep(folder, out, *words) as process:
        code, text = ended(process)
    assert code == 0, text
    return (folder / out / "sweep.csv").read_bytes()


@pytest.fixture(scope="module")
def whole(folder: Path) -> bytes:
    """The CSV of the sweep that nothing disturbed."""
    return to_the_end(folder, "whole", "--jobs", "2")


def in_the_middle(trial: Path) -> bool:
    """True if a trial has finished an epoch, and half of its epochs or more are left."""
    metrics = trial / "metrics.jsonl"
    lines = read_log(metrics) if metrics.is_file() else []
    return 1 <= sum(line["kind"] == "evaluation" for line in lines) <= EPOCHS // 2


def wait_until(true: Callable[[], Found], process: subprocess.Popen[str]) -> Found:
    """Wait until a function gives something, and return it."""
    end = time.monotonic() + 60 * MINUTES
    while not (answer := true()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return answer


def test_interrupted_and_killed_it_comes_to_the_same(folder: Path, whole: bytes) -> None:
    trials = folder / "again/trials"

    def some(many: int) -> bool:
        """True if `count` trials are done, and another has begun."""
        return sum(map(finished, trials.glob("*"))) >= many and any(map(in_the_middle, trials.glob("*")))

    with sweep(folder, "again", "--jobs", "2") as process:
        wait_until(lambda: some(1), process)
        process.send_signal(signal.SIGINT)
        code, text = ended(process)
    assert code == 130, text
    assert "Run the same command again to resume" in text.splitlines()[-1]
    for trial in trials.glob("*"):
        with locked(trial):  # nothing of it runs any more
            pass

    done = {
        trial.name: (trial / "last.safetensors").stat().st_mtime_ns for trial in trials.glob("*") if finished(trial)
    }
    with sweep(folder, "again", "--jobs", "2") as process:
        wait_until(lambda: some(len(done) + 1), process)
        process.kill()
    assert not (folder / "again/sweep.csv").exists()
    assert to_the_end(folder, "again", "--jobs", "2") == whole
    for name, written in done.items():
        assert (trials / name / "last.safetensors").stat().st_mtime_ns == written, "what was done was not run again"
    logs = [path.read_text() for path in (folder / "again/logs").glob("*.log")]
    assert sum(text.count("resumes after step") for text in logs) >= 2, "one after each disturbance, or more"
    assert "<table>" in (folder / "again/report.html").read_text()


def test_a_trial_that_fails_does_not_stop_the_others(folder: Path) -> None:
    (folder / "six.yaml").with_name("three.yaml").write_text(
        f"""
config: {TINY}
backend: numpy
set: {{train.epochs: 1, train.batch_size: 16}}
trials:
- {{name: diverges, set: {{train.optimizer.learning_rate: 1e38}}}}
- {{name: nowhere, device: Ascend}}
- {{name: learns, published: {{paper: 0.9}}}}
"""
    )
    command = [sys.executable, "-m", "acz", "sweep", "three.yaml", "--data", "features", "--out", "three", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "2 of 3 trials failed" in done.stderr
    failed = json.loads(done.stdout)["failed"]
    assert "lower train.optimizer.learning_rate" in failed["diverges"]
    assert "device 'Ascend' was asked for" in failed["nowhere"]
    rows = {row["trial"]: row for row in read_csv(folder / "three/sweep.csv")}
    assert [row["status"] for row in rows.values()] == ["failed", "failed", "done"]
    assert rows["learns"]["published.paper"] == "0.9"
    assert float(rows["learns"]["best_top1"]) > 0
    page = (folder / "three/report.html").read_text()
    assert "nowhere failed: device" in page


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes()
    try:
        made.start_head()
        yield made
    finally:
        made.close()


def test_a_ray_cluster_that_loses_a_node_comes_to_the_same(folder: Path, whole: bytes, nodes: Nodes) -> None:
    trials = folder / "ray/trials"
    words = ("--engine", "ray", "--address", nodes.address)
    with sweep(folder, "ray", *words, environment=nodes.environment) as process:
        wait_until(lambda: any(map(in_the_middle, trials.glob("*"))), process)
        raylet = nodes.add()
        (lost,) = wait_until(lambda: [name for name in nodes.trials(raylet) if in_the_middle(trials / name)], process)
        nodes.lose(raylet)
        code, text = ended(process)
    assert code == 0, text
    assert (folder / "ray/sweep.csv").read_bytes() == whole
    logs = {path.stem: path.read_text() for path in (folder / "ray/logs").glob("*.log")}
    assert [name for name, text in logs.items() if "resumes after step" in text] == [lost]
