"""The training loop with the NumPy backend: learning, resuming, stopping, refusing."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.api.runs import new_run, resumed_run
from acz.foundation.errors import AczError, CheckFailed, CheckpointError, DataError, Interrupted
from acz.foundation.files.locks import locked
from acz.foundation.processes.prefetch import TimedItems
from acz.model.checkpoint import load_checkpoint
from acz.reference import numpy_backend
from acz.training.batches import batches
from acz.training.log import read_log
from acz.training.loop import SPEEDS, train
from acz.training.run import Run
from acz.zoo.config import load_config
from tests.conftest import TINY, Answer, write_features

OVERRIDES = {
    "train.epochs": 4,
    "train.batch_size": 16,
    "train.optimizer.learning_rate": 0.05,
    "train.checkpoint_steps": 3,
    "train.schedule.type": "constant",
}


def start(features: Path, folder: Path, **more: object) -> Run:
    return new_run(load_config(TINY, {**OVERRIDES, **more}), "numpy", "CPU", features, folder, 1)


def test_it_learns_and_keeps_the_best(features: Path, tmp_path: Path) -> None:
    result = train(start(features, tmp_path / "run", **{"train.epochs": 12}))
    log = [line for line in read_log(tmp_path / "run/metrics.jsonl") if line["kind"] == "evaluation"]
    assert len(log) == 12
    assert log[-1]["loss"] < log[0]["loss"]
    best = max(log, key=lambda line: line["top1"])
    assert best["top1"] > 0.6
    assert result.best["top1"] == best["top1"]
    kept = load_checkpoint(tmp_path / "run/best.safetensors")
    assert kept.state["top1"] == best["top1"]
    assert not kept.optimizer


@pytest.mark.parametrize("step", [2, 4, 5, 11])
def test_interrupted_anywhere_it_ends_with_the_same_numbers(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    train(start(features, tmp_path / "whole"))
    original, count = numpy_backend.training_step, 0

    def counted(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == step:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(numpy_backend, "training_step", counted)
    before = set(threading.enumerate())
    with pytest.raises(Interrupted, match=r"--resume --out .*run' resumes the run") as caught:
        train(start(features, tmp_path / "run"))
    assert set(threading.enumerate()) <= before, (
        f"nothing continues to read, though {caught.type.__name__} holds all frames"
    )
    train(resumed_run(tmp_path / "run"))
    whole, parts = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("whole", "run"))
    for name, value in whole.parameters.items():
        np.testing.assert_array_equal(parts.parameters[name], value)
    for name, value in whole.optimizer.items():
        np.testing.assert_array_equal(parts.optimizer[name], value)

    def numbers(folder: str) -> list[dict[str, object]]:
        lines = read_log(tmp_path / folder / "metrics.jsonl")
        return [{k: v for k, v in line.items() if k not in SPEEDS} for line in lines]

    assert numbers("run") == numbers("whole")


def test_only_standing_still_for_data_counts_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def made() -> Iterator[int]:
        nonlocal now
        for number in range(4):
            now += 2.0
            yield number

    source = TimedItems(made())
    for _ in source:
        now += 30.0
    assert source.seconds == 8.0


def test_a_run_says_what_share_of_the_time_it_waited_for_data(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that only the making of batches advances: all of the time is waiting."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def slowly(items: Iterator[Any], depth: int) -> Iterator[Any]:
        nonlocal now
        for item in items:
            now += 1.0
            yield item

    monkeypatch.setattr("acz.training.loop.prefetch", slowly)
    train(start(features, tmp_path / "run"))
    lines = read_log(tmp_path / "run/metrics.jsonl")
    assert {line["kind"] for line in lines} == {"train", "evaluation"}
    assert all(line["data_wait"] == 1.0 for line in lines)


def test_early_stopping(features: Path, tmp_path: Path) -> None:
    run = start(
        features, tmp_path / "run", **{"train.optimizer.learning_rate": 0.0, "train.early_stopping": {"patience": 2}}
    )
    assert train(run).epoch == 3
    assert train(resumed_run(tmp_path / "run")).epoch == 3


def test_each_epoch_sees_every_example_once(features: Path) -> None:
    spec = acz.load_spec(TINY)
    from acz.data.folder import Split

    split = Split(features, "train")
    steps = list(batches(spec, split, 16, 0, 0, 8))
    for epoch in (steps[:4], steps[4:]):
        assert sorted(np.concatenate([examples.numbers for examples, _ in epoch])) == list(range(64))
    assert not np.array_equal(steps[0][0].numbers, steps[4][0].numbers)
    again = next(iter(batches(spec, split, 16, 0, 5, 6)))
    np.testing.assert_array_equal(again[0].numbers, steps[5][0].numbers)
    np.testing.assert_array_equal(again[1]["trunk.dropout"], steps[5][1]["trunk.dropout"])


def test_folders_that_can_not_be_taken(features: Path, tmp_path: Path) -> None:
    train(start(features, tmp_path / "run", **{"train.epochs": 1}))
    with pytest.raises(CheckpointError, match="add --resume"):
        start(features, tmp_path / "run")
    with pytest.raises(CheckpointError, match="not a run folder"):
        resumed_run(tmp_path)
    with locked(tmp_path / "run"), pytest.raises(DataError, match="in use by another process"):
        train(resumed_run(tmp_path / "run"))


def test_a_loss_that_is_not_finite_ends_the_run(features: Path, tmp_path: Path) -> None:
    with np.errstate(all="ignore"), pytest.raises(CheckFailed, match="lower train"):
        train(start(features, tmp_path / "run", **{"train.optimizer.learning_rate": 1e38}))


def test_commands(acz: Callable[..., Answer], features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = [word for key, value in OVERRIDES.items() for word in ("--set", f"{key}={value}")]
    trained = acz("train", TINY, "--backend", "numpy", "--data", features, *sets, "--json")
    assert trained.code == 0, trained.err
    folder = json.loads(trained.out)["folder"]
    evaluated = acz("eval", "--backend", "numpy", "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["top1"] == json.loads(trained.out)["best"]["top1"]
    for size in (1, 7, 500):
        again = acz("eval", folder, "--batch-size", size, "--json")
        assert json.loads(again.out)["loss"] == pytest.approx(json.loads(evaluated.out)["loss"])
    assert acz("train", "--resume", "--out", folder).code == 0
    assert acz("train", "--resume", "--set", "train.batch_size=9").code == 2


def test_each_mistake_is_one_clear_error(
    acz: Callable[..., Answer], features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layer = "model.streams.features.layers.attention"

    def refused(code: int, words: list[str], *typed: object) -> None:
        answer = acz(*typed)
        assert answer.code == code, (typed, answer)
        assert answer.err.splitlines()[-1].startswith("acz: ")
        for word in words:
            assert word in answer.err

    train_tiny = ("train", TINY, "--backend", "numpy", "--data", features)
    refused(2, ["'lstm' is not a type of layer"], *train_tiny, "--set", f"{layer}.type=lstm")
    refused(2, ["unknown key", "did you mean 'units'"], *train_tiny, "--set", f"{layer}.unit=3")
    refused(2, ["(5, 4) a video, the model reads (5, 9)"], *train_tiny, "--set", "model.inputs.features.features=9")
    refused(2, ["labels reach 6 classes, the model has 3"], *train_tiny, "--set", "model.trunk.logits.units=3")
    refused(2, ["there is no folder"], "data", "flash-mnist", "--mnist", tmp_path / "nothing")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x00\x00\x08\x03\x00\x00")
    refused(2, ["train-images-idx3-ubyte", "truncated"], "data", "flash-mnist", "--mnist", tmp_path)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind" * 9)
    refused(2, ["bad.safetensors", "damaged"], "eval", tmp_path / "bad.safetensors", "--data", features)
    refused(2, ["there is no backend 'tensorlow'", "did you mean 'tensorflow'"], "train", "--backend", "tensorlow")
    refused(3, ["device 'Ascend' was asked for", "--device CPU"], *train_tiny, "--device", "Ascend")
    refused(3, ["device 'TPU:0' was asked for", "offers backend 'numpy'", "CPU"], *train_tiny, "--device", "TPU:0")
    refused(2, ["there is no device 'CPU:1'"], *train_tiny, "--device", "CPU:1")
    refused(2, ["did you mean"], "show", "flash_mnist/atention_cluster")
    refused(2, ["there is no run"], "eval")

    sets = ("--set", "train.epochs=1", "--set", "train.batch_size=16")
    assert acz(*train_tiny, *sets, "--out", "one").code == 0
    hidden = ("train", "flash_mnist/attention_cluster_hidden:tiny", *train_tiny[2:])
    assert acz(*hidden, *sets, "--out", "two").code == 0
    (tmp_path / "two/last.safetensors").write_bytes((tmp_path / "one/last.safetensors").read_bytes())
    refused(2, ["is a checkpoint of another model"], "train", "--resume", "--out", "two")

    values = np.load(features / "train/00000.features.npy")
    values[1, 1, 1] = np.nan
    np.save(features / "train/00000.features.npy", values)
    refused(2, ["example 1 of 'features' holds NaN"], *train_tiny, *sets, "--out", "three")


def test_two_backends_can_not_share_a_process_by_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from acz.backend import registry

    for framework in ("torch", "paddle"):  # as if both were installed, and the user had imported them
        monkeypatch.setitem(sys.modules, framework, object())
    with pytest.raises(AczError, match="start another process"):
        registry.find_backend("torch")


def test_latest_run_is_the_one_written_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_features(tmp_path / "data")
    from acz.training.latest import latest_run

    for name in ("b", "a"):
        train(start(data, tmp_path / "runs" / name, **{"train.epochs": 1}))
        time.sleep(0.02)
    assert latest_run() == Path("runs/a")


def test_a_command_that_is_started_again_resumes_its_run(
    acz: Callable[..., Answer], features: Path, tmp_path: Path
) -> None:
    words = ["train", TINY, "--backend", "numpy", "--data", features, "--set", "train.batch_size=16"]
    words += ["--set", "train.epochs=2", "--resume-if-begun"]
    assert "needs the folder of the run" in acz(*words).err
    words += ["--out", tmp_path / "run"]
    first = acz(*words, "--json")
    assert (first.code, json.loads(first.out)["epochs"]) == (0, 2)
    last = (tmp_path / "run/last.safetensors").read_bytes()
    again = acz(*words, "--json")
    assert (again.code, json.loads(again.out)) == (0, json.loads(first.out))
    assert (tmp_path / "run/last.safetensors").read_bytes() == last
    other = acz(*words, "--set", "train.seed=5")
    assert (other.code, "a run with other settings (train)" in other.err) == (2, True)
