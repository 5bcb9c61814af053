"""`acz train`, `eval` and `infer` over several processes, as their users type them, beside one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acz.backend.processes import Cluster
from acz.backend.registry import find_info
from acz.foundation.processes.ports import LOOPBACK, free_port
from acz.model.checkpoint import load_checkpoint
from parity_tests.conftest import BACKENDS, require
from parity_tests.ranks_cases import acz, losses, require_same, start
from tests.conftest import TINY, write_features

pytestmark = pytest.mark.slow

SET = ["--set", "train.epochs=2", "--set", "train.batch_size=15"]
NEAR = 1e-5
"""Losses of two epochs in float32: sums in another order move them by some 1e-7."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_features(tmp_path / "features")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_training_is_shared_as_typed_and_by_the_frameworks_own_launcher(
    backend: str, data: Path, tmp_path: Path
) -> None:
    require(backend)
    words = ["train", TINY, "--backend", backend, "--data", str(data), *SET]
    acz(*words, "--out", tmp_path / "one", "--threads", "1", folder=tmp_path)
    acz(*words, "--out", tmp_path / "two", "--threads", "2", "--processes", "2", folder=tmp_path)
    for value, expected in zip(losses(tmp_path / "two"), losses(tmp_path / "one"), strict=True):
        assert value == pytest.approx(expected, rel=NEAR)
    assert (tmp_path / "two" / "rank_1.log").is_file()
    launcher = find_info(backend).launcher
    assert launcher
    cluster = Cluster((LOOPBACK,), 2, free_port(2))
    typed = [*words, "--out", str(tmp_path / "typed"), "--threads", "2"]
    started = [
        start(*command.words, folder=tmp_path, variables=dict(command.variables))
        for command in launcher.commands(cluster, 0, "CPU", typed)
    ]
    outputs = [process.communicate(timeout=300) for process in started]
    logs = "".join(file.read_text(errors="replace")[-2000:] for file in tmp_path.glob("*log*/*"))
    assert [process.returncode for process in started] == [0] * len(started), f"{outputs}\n{logs}"
    require_same(tmp_path / "typed", tmp_path / "two")


def test_a_run_is_resumed_by_another_number_of_processes(data: Path, tmp_path: Path) -> None:
    require("torch")
    words = ["train", TINY, "--backend", "torch", "--data", str(data), "--set", "train.batch_size=15"]
    epochs = ["--set", "train.epochs=20000", "--set", "train.checkpoint_steps=1000000"]
    run = tmp_path / "run"
    process = start(sys.executable, "-m", "acz", *words, *epochs, "--out", run, "--processes", "3", folder=tmp_path)
    wait_for(run / "best.safetensors", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    stopped = load_checkpoint(run / "last.safetensors").state["step"]
    ended = start(sys.executable, "-m", "acz", "train", "--resume", "--out", run, "--processes", "2", folder=tmp_path)
    deadline = time.monotonic() + 300
    while load_checkpoint(run / "last.safetensors").state["step"] == stopped and time.monotonic() < deadline:
        time.sleep(0.2)
    ended.send_signal(signal.SIGTERM)
    assert ended.wait(60) == 130
    assert load_checkpoint(run / "last.safetensors").state["step"] > stopped
    assert not ranks_of(run)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 400
    while not path.is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ranks_of(run: Path) -> list[int]:
    """The processes that write a run, by their open files."""
    numbers = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and any(
                str(run) in os.readlink(entry) for entry in (folder / "fd").iterdir() if entry.is_symlink()
            ):
                numbers.append(int(folder.name))
        except OSError:
            continue
    return sorted(numbers)


def ranks_below(launcher: int) -> list[int]:
    """The processes that a command started, in the order of their ranks."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    programs = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return sorted(child for child, program in programs.items() if b"acz.cli.processes.rank" in program)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_all_and_is_named_and_the_run_resumes(victim: int, data: Path, tmp_path: Path) -> None:
    require("torch")
    run = tmp_path / "run"
    words = ["train", TINY, "--backend", "torch", "--data", str(data), "--set", "train.batch_size=15"]
    words += ["--set", "train.epochs=20000", "--out", str(run), "--processes", "3"]
    process = start(sys.executable, "-m", "acz", *words, folder=tmp_path)
    wait_for(run / "best.safetensors", process)
    if victim:
        with (run / f"rank_{victim}.log").open("a") as log:
            log.write("what a framework says last\n")
    os.kill(ranks_below(process.pid)[victim], signal.SIGKILL)
    _, problems = process.communicate(timeout=60)
    assert process.returncode == 1
    told = [line for line in problems.splitlines() if line.startswith("acz:")]
    assert len(told) == 1
    assert f"rank {victim} on " in told[0]
    assert ("what a framework says last; the last checkpoint is whole" in told[0]) == bool(victim)
    assert not ranks_of(run)
    step = load_checkpoint(run / "last.safetensors").state["step"]
    again = start(sys.executable, "-m", "acz", "train", "--resume", "--out", run, folder=tmp_path)
    deadline = time.monotonic() + 300
    while load_checkpoint(run / "last.safetensors").state["step"] == step and time.monotonic() < deadline:
        time.sleep(0.2)
    again.send_signal(signal.SIGINT)
    assert again.wait(300) == 130
    assert load_checkpoint(run / "last.safetensors").state["step"] > step


def test_evaluation_and_inference_give_the_same_bits_for_any_number_of_processes(data: Path, tmp_path: Path) -> None:
    require("torch")
    acz("train", TINY, "--backend", "torch", "--data", data, *SET, "--out", "run", folder=tmp_path)
    figures, files = [], []
    for count in (1, 2, 3):
        shared = ["--processes", str(count), "--threads", str(count), "--batch-size", "7"]
        figures.append(json.loads(acz("eval", "run", *shared, "--json", folder=tmp_path)))
        for name in (f"{count}.npz", f"{count}.jsonl"):
            acz("infer", "run", "--out", name, *shared, folder=tmp_path)
            files.append((tmp_path / name).read_bytes())
    assert figures[1:] == figures[:1] * 2
    assert files[2:] == files[:2] * 2
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_wrong_use_is_one_line(data: Path, tmp_path: Path) -> None:
    require("torch")
    words = ["train", TINY, "--backend", "torch", "--data", str(data), "--out", str(tmp_path / "run")]
    for more, message in (
        (["--processes", "3", "--set", "train.batch_size=2"], "a batch of 2 videos can't be shared by 3 processes"),
        (["--hosts", "a,b"], "--hosts and --port are for --dry-run"),
        (["--backend", "numpy", "--processes", "2"], "backend 'numpy' works in one process"),
    ):
        process = start(sys.executable, "-m", "acz", *words, *more, folder=tmp_path)
        _, problems = process.communicate(timeout=400)
        assert process.returncode in (2, 3)
        (line,) = [line for line in problems.splitlines() if line.startswith("acz:")]
        assert message in line
    assert not (tmp_path / "run" / "run.json").exists()
