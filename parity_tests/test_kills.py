"""Kills at random moments: named files are whole, the same command resumes, and the end is bit for bit the same.

ACZ_KILLS=20 kills each command 20 times; the default is a short run. docs/reliability.md has the results of long runs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import pytest

from acz.model.checkpoint import load_checkpoint, save_checkpoint
from acz.model.parameters import initial_parameters
from acz.zoo.config import load_spec
from parity_tests.conftest import require
from tests.conftest import TINY, write_features
from tests.whole import Disk, check_whole, contents, leftovers, may_mount, metrics

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("ACZ_KILLS", "2"))
LONG = KILLS >= 10
EARLIEST = {signal.SIGKILL: 0.1, signal.SIGINT: 0.7}
"""Seconds after the start. On a busy machine Python itself answers a Ctrl-C that comes before our first line."""
MOST_STARTS = 40
"""The most starts until an end. A command that is killed again and again must still advance."""

Command = Sequence[object]


@dataclass
class Case:
    """A command, the command that resumes it, and its progress at a kill."""

    first: Command
    again: Callable[[Path], Command]
    phase: Callable[[Path], str]
    """The contents of the folder at a kill, in a word."""
    check: Callable[[Path], None] = check_whole
    seen: Counter[str] = field(default_factory=Counter)


def acz_process(words: Command, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "acz", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # a shell that starts the tests in the background makes them, and their processes, ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(words: Command, cwd: Path) -> float:
    """Run to the end; gives the seconds."""
    before = time.monotonic()
    process = acz_process(words, cwd)
    text = process.communicate(timeout=600)[1]
    assert process.returncode == 0, text
    return time.monotonic() - before


def disturb(case: Case, folder: Path, seconds: float, source: random.Random, kind: signal.Signals, most: int) -> int:
    """Make `folder`/out, with kills at random moments and resumes until it is done. Returns the number of kills.

    The first start is killed within `seconds` of its own work. Each later one gets more time on average. The one after
    `most` kills gets all it needs.
    """
    folder.mkdir()
    for kills in range(MOST_STARTS):
        words = case.again(folder) if kills else case.first
        process = acz_process(words, folder)
        try:
            moment = source.uniform(EARLIEST[kind], seconds * (1.0 + 0.3 * kills)) if kills < most else 600
            text = process.communicate(timeout=moment)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(kind)
            text = process.communicate(timeout=600)[1]
        if process.returncode == 0:
            return kills
        if kind == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL, text
        else:
            assert process.returncode == 130, text
            lines = [line for line in text.splitlines() if line.startswith("acz: ")]
            assert len(lines) == 1, text
            assert "Traceback" not in text
        case.seen[case.phase(folder)] += 1
        case.check(folder)
    raise AssertionError(f"{MOST_STARTS} starts did not end it")


def kill_until(
    case: Case, tmp_path: Path, seconds: float, is_like: Callable[[Path], None], kind: signal.Signals = signal.SIGKILL
) -> None:
    """Repeat disturbed runs until there were KILLS kills. Each is compared with the undisturbed one."""
    source = random.Random(0)
    kills = rounds = 0
    while kills < KILLS:
        folder = tmp_path / f"round{rounds}"
        began = time.monotonic()
        here = disturb(case, folder, seconds, source, kind, KILLS - kills)
        if here == 0:  # it was faster than the timed one
            seconds = 0.9 * min(seconds, time.monotonic() - began)
        kills += here
        is_like(folder)
        assert not leftovers(folder)
        shutil.rmtree(folder)
        rounds += 1
    print(f"{kills} times {kind.name} in {rounds} rounds: {dict(case.seen)}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("data") / "features", videos=256)


SETS = {
    "train.epochs": 30 if LONG else 10,
    "train.batch_size": 16,
    "train.optimizer.learning_rate": 0.05,
    "train.schedule.type": "constant",
    "train.checkpoint_steps": 3,
    "train.average.halflife": 5,
}
SETTINGS = [word for key, value in SETS.items() for word in ("--set", f"{key}={value}")]


def training(data: Path, backend: str) -> Case:
    first = ["train", TINY, "--backend", backend, "--data", data, *SETTINGS, "--threads", 1, "--out", "out"]

    def again(folder: Path) -> Command:
        return ["train", "--resume", "--out", "out"] if (folder / "out/run.json").exists() else first

    def phase(folder: Path) -> str:
        last = folder / "out/last.safetensors"
        if not last.exists():
            return "before the first checkpoint" if (folder / "out/run.json").exists() else "before the run"
        return "after the first checkpoint" if load_checkpoint(last).state["step"] == 0 else "after some steps"

    return Case(first, again, phase)


@pytest.mark.parametrize(
    ("kind", "backend"),
    [(signal.SIGKILL, "torch"), (signal.SIGINT, "torch" if LONG else "numpy")],
    ids=["kill", "ctrl-c"],
)
def test_kills_while_it_trains(kind: signal.Signals, backend: str, data: Path, tmp_path: Path) -> None:
    require(backend)
    case = training(data, backend)
    (tmp_path / "whole").mkdir()
    seconds = finish(case.first, tmp_path / "whole")
    whole = tmp_path / "whole/out"

    def is_like(folder: Path) -> None:
        assert contents(folder / "out") == contents(whole)
        assert metrics(folder / "out/metrics.jsonl") == metrics(whole / "metrics.jsonl")

    kill_until(case, tmp_path, seconds, is_like, kind)
    assert not LONG or case.seen["after some steps"] > 0, case.seen


@pytest.mark.parametrize("kind", [signal.SIGKILL, *([signal.SIGINT] if LONG else [])], ids=lambda kind: kind.name)
def test_kills_while_a_data_set_is_made(kind: signal.Signals, tmp_path: Path) -> None:
    require("torch")
    first = [
        "data", "flash-mnist", "--digits", "--backend", "torch", "--videos-per-label", 2 if LONG else 1,
        "--test-videos-per-label", 1, "--threads", 1, "--out", "out",
    ]  # fmt: skip
    if LONG:
        first += ["--epochs", 1]
    else:  # one that has learnt nothing: its training is killed above
        spec = load_spec("flash_mnist/extractor")
        save_checkpoint(tmp_path / "extractor.safetensors", spec, initial_parameters(spec))
        first += ["--extractor", tmp_path / "extractor.safetensors"]

    def phase(folder: Path) -> str:
        out = folder / "out"
        if (out / "train").exists():
            return "videos"
        if (out / "extractor").exists():
            return "extractor"
        return "noisy frames" if (out / "noisy").exists() else "before the first file"

    case = Case(first, lambda folder: first, phase)
    (tmp_path / "whole").mkdir()
    seconds = finish(first, tmp_path / "whole")
    wanted = contents(tmp_path / "whole/out")

    def is_like(folder: Path) -> None:
        written = contents(folder / "out")
        written.pop("extractor/run.json", None)  # it holds the absolute path of the noisy frames
        assert written == {name: value for name, value in wanted.items() if name != "extractor/run.json"}

    kill_until(case, tmp_path, seconds, is_like, kind)
    assert not LONG or len(case.seen) >= 2, case.seen


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run."""
    folder = tmp_path_factory.mktemp("run")
    finish(["train", TINY, "--backend", "numpy", "--data", data, *SETTINGS, "--out", "run"], folder)
    return folder / "run"


@pytest.mark.parametrize("kind", [signal.SIGKILL, *([signal.SIGINT] if LONG else [])], ids=lambda kind: kind.name)
def test_kills_while_it_infers(kind: signal.Signals, run: Path, tmp_path: Path) -> None:
    large = write_features(tmp_path / "features", videos=8192 if LONG else 2048)
    first = [
        "infer",
        run,
        "--data",
        large,
        "--backend",
        "numpy",
        "--batch-size",
        2,
        "--threads",
        1,
        "--out",
        "out/p.jsonl",
    ]

    def phase(folder: Path) -> str:
        work = folder / "out/.p.jsonl.part"
        stretches = len(list(work.glob("*.jsonl")))
        if (folder / "out/p.jsonl").exists():
            return "after the last stretch"
        return "while it infers" if stretches else "before the first stretch"

    case = Case(first, lambda folder: first, phase)
    (tmp_path / "whole").mkdir()
    seconds = finish(first, tmp_path / "whole")
    wanted = contents(tmp_path / "whole/out")
    assert len((tmp_path / "whole/out/p.jsonl").read_text().splitlines()) == (8192 if LONG else 2048)

    def is_like(folder: Path) -> None:
        assert contents(folder / "out") == wanted
        assert [path.name for path in (folder / "out").iterdir()] == ["p.jsonl"]

    kill_until(case, tmp_path, seconds, is_like, kind)


@pytest.mark.parametrize("kind", [signal.SIGKILL, *([signal.SIGINT] if LONG else [])], ids=lambda kind: kind.name)
def test_kills_while_it_exports(kind: signal.Signals, run: Path, tmp_path: Path) -> None:
    first = ["export", run, "--format", "onnx", "--out", "out/model.onnx"]

    def phase(folder: Path) -> str:
        if (folder / "out/model.onnx").exists():
            return "after the artefact"
        return "while it is made or verified" if list(folder.glob("out/.*.making")) else "before"

    def check(folder: Path) -> None:
        for path in folder.glob("out/[!.]*"):
            if path.suffix == ".onnx":
                onnx.checker.check_model(onnx.load(path), full_check=True)
            else:
                assert json.loads(path.read_text())["passed"], path

    case = Case(first, lambda folder: first, phase, check)
    (tmp_path / "whole").mkdir()
    seconds = finish(first, tmp_path / "whole")
    wanted = (tmp_path / "whole/out/model.onnx").read_bytes()

    def is_like(folder: Path) -> None:
        assert (folder / "out/model.onnx").read_bytes() == wanted
        assert sorted(path.name for path in (folder / "out").iterdir()) == ["model.onnx", "model.onnx.report.json"]

    kill_until(case, tmp_path, seconds, is_like, kind)


@pytest.mark.parametrize("leave", [0, 4096])
def test_an_export_that_finds_no_room_leaves_nothing(run: Path, tmp_path: Path, leave: int) -> None:
    if not may_mount():
        pytest.skip("a full disk needs a mount, which this process may not make")
    disk = Disk(tmp_path / "disk", 256 * 1024)
    try:
        disk.fill(leave)
        process = acz_process(["export", run, "--format", "onnx", "--out", disk.folder / "model.onnx"], tmp_path)
        text = process.communicate(timeout=600)[1]
        assert process.returncode == 2, text
        last = text.splitlines()[-1]
        assert last == f"acz: {disk.folder}/model.onnx: No space left on device; finished work is kept"
        assert [path.name for path in disk.folder.iterdir()] == ["filler"]
    finally:
        disk.close()
