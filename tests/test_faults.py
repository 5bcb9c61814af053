"""Faults: full disks, read-only folders, two processes in one folder, clocks that jump, damage, too large models.

Kills are in parity_tests/test_kills.py. docs/reliability.md has the results of longer runs of both.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from mmap import PAGESIZE
from pathlib import Path

import numpy as np
import pytest

from acz.api.runs import new_run, resumed_run
from acz.data.folder import write_shard
from acz.foundation.errors import CheckpointError
from acz.foundation.files.atomic import write_atomically
from acz.foundation.files.locks import locked
from acz.model.checkpoint import load_checkpoint, save_checkpoint
from acz.training.latest import latest_run
from acz.training.log import read_log
from acz.training.loop import train
from acz.zoo.config import load_config
from tests.checkpoint_cases import cases as checkpoints
from tests.conftest import TINY, Answer
from tests.whole import Disk, check_whole, contents, largest_file, leftovers, may_mount, metrics

SETS = {
    "train.epochs": 3,
    "train.batch_size": 16,
    "train.optimizer.learning_rate": 0.05,
    "train.checkpoint_steps": 3,
    "train.schedule.type": "constant",
}
SETTINGS = [word for key, value in SETS.items() for word in ("--set", f"{key}={value}")]
Acz = Callable[..., Answer]


def one_line(answer: Answer, *words: str) -> None:
    """Type a command that must fail, and return its answer."""
    assert answer.code == 2, answer
    assert answer.err.splitlines()[-1].startswith("acz: "), answer.err
    for word in words:
        assert word in answer.err.splitlines()[-1], answer.err


@pytest.fixture
def whole(acz: Acz, features: Path, tmp_path: Path) -> Path:
    """A run that nothing disturbed."""
    answer = acz("train", TINY, "--backend", "numpy", "--data", features, *SETTINGS, "--out", tmp_path / "whole")
    assert answer.code == 0, answer.err
    return tmp_path / "whole"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not may_mount():
        pytest.skip(
            "a full disk needs a mount, which this process may not make; the tests with a limit on files run everywhere"
        )
    made = Disk(tmp_path / "disk", 64 * PAGESIZE)
    yield made
    made.close()


def train_or_resume(acz: Acz, features: Path, run: Path) -> Answer:
    if (run / "run.json").exists():
        return acz("train", "--resume", "--out", run)
    return acz("train", TINY, "--backend", "numpy", "--data", features, *SETTINGS, "--out", run)


def is_like(run: Path, whole: Path) -> None:
    """Bitwise: weights, moments, position, figures."""
    assert contents(run) == contents(whole)
    assert metrics(run / "metrics.jsonl") == metrics(whole / "metrics.jsonl")
    assert not leftovers(run)


@pytest.mark.parametrize("size", [0, 300, 1500, 2500, 3000])
def test_a_run_without_room_says_so_and_goes_on_with_room(
    acz: Acz, features: Path, whole: Path, tmp_path: Path, size: int
) -> None:
    run = tmp_path / "run"
    with largest_file(size):
        one_line(train_or_resume(acz, features, run), "File too large; finished work is kept", str(run))
    check_whole(run)
    assert not leftovers(run)
    answer = train_or_resume(acz, features, run)
    assert answer.code == 0, answer.err
    is_like(run, whole)


def test_a_disk_that_fills_up_at_any_moment(acz: Acz, features: Path, whole: Path, disk: Disk) -> None:
    run = disk.folder / "run"
    failed = 0
    for pages in range(7):
        disk.fill(pages * PAGESIZE)
        answer = train_or_resume(acz, features, run)
        disk.empty()
        check_whole(disk.folder)
        if answer.code:
            one_line(answer, "No space left on device; finished work is kept", str(run))
            assert not leftovers(disk.folder)
            failed += 1
    assert failed >= 3
    answer = train_or_resume(acz, features, run)
    assert answer.code == 0, answer.err
    is_like(run, whole)


def test_a_checkpoint_that_finds_no_room_leaves_the_last_good_one(whole: Path) -> None:
    path = whole / "last.safetensors"
    before = path.read_bytes()
    kept = load_checkpoint(path)
    with largest_file(len(before) - 1), pytest.raises(OSError, match="File too large") as caught:
        save_checkpoint(path, kept.spec, kept.parameters, kept.optimizer, kept.state)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert not leftovers(whole)


def test_a_shard_that_finds_no_room_leaves_nothing(tmp_path: Path) -> None:
    arrays = {"features": np.zeros((8, 5, 4), np.float32), "labels": np.zeros(8, np.int64)}
    with largest_file(500), pytest.raises(OSError, match=r"File too large.*00000\.features\.npy"):
        write_shard(tmp_path, "train", 0, arrays)
    assert list((tmp_path / "train").iterdir()) == []


def test_a_read_only_folder_is_named(acz: Acz, features: Path, disk: Disk) -> None:
    run = disk.folder / "run"
    assert train_or_resume(acz, features, run).code == 0
    before = contents(run)
    disk.read_only(True)
    try:
        new = ("train", TINY, "--backend", "numpy", "--data", features, "--out", disk.folder / "new")
        one_line(acz(*new), "Read-only file system", str(disk.folder / "new"))
        one_line(acz("train", "--resume", "--out", run), "Read-only file system", str(run))
        made = acz("data", "flash-mnist", "--out", disk.folder / "data", "--backend", "torch")
        one_line(made, "Read-only file system", str(disk.folder / "data"))
        out = disk.folder / "out"
        predicted = acz("infer", run, "--backend", "numpy", "--out", out / "p.jsonl")
        one_line(predicted, "Read-only file system", str(out))
        one_line(acz("export", run, "--format", "onnx", "--out", out / "m.onnx"), "Read-only file system", str(out))
        port = next(case for case in checkpoints() if case.system == "mindspore-port")
        sets = [word for key, value in port.overrides.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        converted = acz("convert", port.file, "--model", port.model, *sets, "--out", out / "c.safetensors")
        one_line(converted, "Read-only file system", str(out))
        answer = acz("eval", run, "--backend", "numpy", "--json")
        assert answer.code == 0, "reading needs no writing"
    finally:
        disk.read_only(False)
    assert contents(run) == before


def test_predictions_that_find_no_room_are_not_half_there(acz: Acz, features: Path, whole: Path, disk: Disk) -> None:
    out = disk.folder / "p.jsonl"
    words = ("infer", whole, "--data", features, "--backend", "numpy", "--batch-size", 2, "--out")
    failed = 0
    for pages in (0, 1, 2, 5):
        disk.fill(pages * PAGESIZE)
        answer = acz(*words, out)
        disk.empty()
        if answer.code:
            one_line(answer, "No space left on device; finished work is kept", str(disk.folder))
            assert not out.exists()
            failed += 1
    assert failed >= 2
    assert acz(*words, out).code == 0
    assert acz(*words, disk.folder.parent / "undisturbed.jsonl").code == 0
    assert out.read_bytes() == (disk.folder.parent / "undisturbed.jsonl").read_bytes()
    assert [path.name for path in disk.folder.iterdir()] == ["p.jsonl"]


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "acz", *map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


@pytest.mark.slow
def test_of_runs_in_one_folder_at_one_time_one_wins(features: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    new = ("train", TINY, "--backend", "numpy", "--data", features, *SETTINGS, "--out", run)
    for words in (new, ("train", "--resume", "--out", run)):
        if "--resume" in words:  # something must be left to do
            (run / "last.safetensors").unlink()
            (run / "metrics.jsonl").unlink()
        processes = [start(*words) for _ in range(3)]
        ends = [(process.communicate()[1], process.returncode) for process in processes]
        wins = sum(code == 0 for _, code in ends)
        # resuming a run that has ended meanwhile is not a mistake: there is nothing to do
        assert wins == 1 or (wins > 1 and "--resume" in words), ends
        for text, code in ends:
            if code:
                last = text.splitlines()[-1]
                assert code == 2, text
                assert "is in use by another process" in last or "already has a run" in last
        is_like(run, whole)


def test_a_data_set_is_made_by_one_process(acz: Acz, tmp_path: Path) -> None:
    with locked(tmp_path / "data"):
        made = acz("data", "flash-mnist", "--out", tmp_path / "data", "--backend", "numpy")
    one_line(made, "is in use by another process")


def test_a_clock_that_jumps_or_stands_still_changes_no_number(
    features: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + jumps.uniform(-1e8, 1e8))
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    overrides = {**SETS}
    train(new_run(load_config(TINY, overrides), "numpy", "CPU", features, tmp_path / "run", 1))
    monkeypatch.undo()
    is_like_but_for_threads(tmp_path / "run", whole)
    speeds = [line["videos_per_second"] for line in read_log(tmp_path / "run/metrics.jsonl")]
    assert len(speeds) == 6
    assert all(0 < speed < float("inf") for speed in speeds)


def is_like_but_for_threads(run: Path, whole: Path) -> None:
    """The check of `is_like` for a run that was not begun from the command line."""
    ours, theirs = contents(run), contents(whole)
    assert ours.pop("run.json")
    assert theirs.pop("run.json")
    assert ours == theirs
    assert metrics(run / "metrics.jsonl") == metrics(whole / "metrics.jsonl")


def test_the_latest_run_does_not_depend_on_the_clock(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(TINY, {**SETS, "train.epochs": 1})
    for name in ("first", "second"):
        train(new_run(config, "numpy", "CPU", features, Path("runs") / name, 1))
    in_a_year = time.time() + 3e7
    for path in Path("runs/first").iterdir():  # the clock was a year ahead, and then put right
        os.utime(path, (in_a_year, in_a_year))
    assert latest_run() == Path("runs/second")
    train(resumed_run(Path("runs/first")))
    assert latest_run() == Path("runs/first")
    for damage in ("nothing there", "../elsewhere", ""):
        Path("runs/.latest").write_text(damage)
        assert latest_run() == Path("runs/first"), "then the files' times tell"


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_found(whole: Path, tmp_path: Path) -> None:
    content = (whole / "last.safetensors").read_bytes()
    source = random.Random(0)
    path = tmp_path / "damaged.safetensors"
    for _ in range(200):
        place, bit = source.randrange(len(content)), source.randrange(8)
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
        path.write_bytes(content[: source.randrange(len(content))])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_a_checkpoint_from_before_the_checksum_is_read(whole: Path, tmp_path: Path) -> None:
    content = (whole / "last.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert len(header["__metadata__"].pop("sha256")) == 64
    text = json.dumps(header).encode()
    path = tmp_path / "old.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    old, new = load_checkpoint(path), load_checkpoint(whole / "last.safetensors")
    assert old.state == new.state
    for name, value in new.parameters.items():
        np.testing.assert_array_equal(old.parameters[name], value)


def test_a_run_whose_last_checkpoint_is_damaged_says_so(acz: Acz, whole: Path) -> None:
    path = whole / "last.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    one_line(acz("train", "--resume", "--out", whole), str(path), "not what was written")
    assert acz("eval", whole, "--backend", "numpy").code == 0, "the best one is whole"


def test_only_our_own_temporary_files_are_removed(acz: Acz, whole: Path) -> None:
    ours, theirs = whole / ".last.safetensors.x1y2z3.partial", whole / ".notes.txt.old"
    ours.write_text("half")
    theirs.write_text("a user's")
    assert acz("train", "--resume", "--out", whole).code == 0
    assert not ours.exists()
    assert theirs.read_text() == "a user's"


def test_a_write_that_fails_names_the_file_that_was_meant(tmp_path: Path) -> None:
    with largest_file(10), pytest.raises(OSError, match="File too large") as caught:
        write_atomically(tmp_path / "a.bin", lambda temporary: temporary.write_bytes(bytes(99)))
    assert caught.value.filename == str(tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_needs_more_memory_than_there_is(features: Path, tmp_path: Path) -> None:
    """A model within the spec's limits, of 1,860,000,006 numbers. The machine's memory decides."""
    size = "model.streams.features.layers.attention.units=60000000"
    words = ["train", TINY, "--backend", "numpy", "--data", features, "--set", size, "--out", tmp_path / "run"]
    answer = subprocess.run(
        [sys.executable, "-m", "acz", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (5 * 2**28, 5 * 2**28)),
    )
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("acz: there is not enough memory: Unable to allocate")
    assert "Traceback" not in answer.stderr
