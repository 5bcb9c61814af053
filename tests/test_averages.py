"""Exponential averages of weights in a run: in checkpoints, in evaluations, and where a run is resumed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.api.evaluation import evaluate
from acz.api.exchange import average_checkpoints
from acz.api.runs import new_run, resumed_run
from acz.foundation.errors import CheckpointError, Interrupted, SpecError
from acz.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from acz.model.parameters import initial_parameters
from acz.reference import numpy_backend
from acz.training.loop import train
from acz.training.run import Run, load_resumable
from acz.zoo.config import load_config
from tests.conftest import TINY, Answer

SETTINGS = {
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.optimizer.learning_rate": 0.05,
    "train.schedule.type": "constant",
    "train.checkpoint_steps": 3,
    "train.average": {"halflife": 3},
}


def start(features: Path, folder: Path, **more: object) -> Run:
    return new_run(load_config(TINY, {**SETTINGS, **more}), "numpy", "CPU", features, folder, 1)


def averages(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {name[2:]: value for name, value in checkpoint.optimizer.items() if name.startswith("a.")}


def test_the_best_checkpoint_holds_the_average_and_the_last_one_both(features: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(start(features, run, **{"train.epochs": 1}))
    last, best = (load_checkpoint(run / f"{name}.safetensors") for name in ("last", "best"))
    kept = averages(last)
    assert set(kept) == set(last.spec.trained)
    for path, value in kept.items():
        np.testing.assert_array_equal(best.parameters[path], value)
        assert (last.parameters[path] != value).any(), path
    figures = evaluate(run, backend="numpy").figures
    assert figures["top1"] == best.state["top1"], "the figures of the epoch are those of the average"


def test_without_evaluate_the_average_is_only_kept(features: Path, tmp_path: Path) -> None:
    for name, more in (("with", {"train.average.evaluate": False}), ("without", {"train.average": None})):
        train(start(features, tmp_path / name, **more))
    ends = [load_checkpoint(tmp_path / name / "last.safetensors") for name in ("with", "without")]
    assert averages(ends[0])
    assert not averages(ends[1])
    for path, value in ends[1].parameters.items():
        np.testing.assert_array_equal(ends[0].parameters[path], value)
    assert (tmp_path / "with/best.safetensors").read_bytes() == (tmp_path / "without/best.safetensors").read_bytes()


def test_an_interrupted_run_ends_with_the_same_average(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(start(features, tmp_path / "whole"))
    original, steps = numpy_backend.training_step, iter(range(100))

    def interrupted(*given: object) -> object:
        if next(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(numpy_backend, "training_step", interrupted)
    with pytest.raises(Interrupted):
        train(start(features, tmp_path / "run"))
    train(resumed_run(tmp_path / "run"))
    for name in ("last", "best"):
        whole, run = (tmp_path / folder / f"{name}.safetensors" for folder in ("whole", "run"))
        assert whole.read_bytes() == run.read_bytes()


def test_the_halflife_is_the_time_to_half() -> None:
    recipe = load_config(TINY, {"train.average.halflife": 10}).recipe
    assert recipe.averaging_optimizer.average_decay**10 == pytest.approx(0.5)
    assert recipe.optimizer.average_decay == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"train.optimizer.average": 0.9}, "average"),
        ({"train.average": {}}, "halflife"),
        ({"train.average.halflife": 0}, "greater than 0"),
    ],
)
def test_a_wrong_average_is_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_config(TINY, setting)


def test_a_checkpoint_without_averages_is_not_resumed_with_them(features: Path, tmp_path: Path) -> None:
    train(start(features, tmp_path / "run", **{"train.epochs": 1, "train.average": None}))
    last = tmp_path / "run/last.safetensors"
    load_resumable(last, load_checkpoint(last).spec)
    with pytest.raises(CheckpointError, match="no training state"):
        load_resumable(last, load_checkpoint(last).spec, averages=True)


def checkpoint_of(path: Path, value: float) -> Path:
    spec = load_config(TINY).spec
    start = {name: np.full_like(array, value, np.float32) for name, array in initial_parameters(spec, 0).items()}
    fixed = {
        name: initial_parameters(spec, 0)[name].astype(np.float32)
        for name in spec.parameters
        if name not in {*spec.trained, *spec.statistics}
    }
    save_checkpoint(path, spec, start | fixed)
    return path


def test_the_mean_of_checkpoints(tmp_path: Path, acz: Callable[..., Answer]) -> None:
    files = [checkpoint_of(tmp_path / f"{value}.safetensors", value) for value in (1, 2, 6)]
    answer = acz("average", *files, "--out", tmp_path / "out/mean.safetensors")
    assert answer.code == 0, answer.err
    assert "the mean of 3 checkpoints" in answer.out
    mean = load_checkpoint(tmp_path / "out/mean.safetensors")
    weighted = average_checkpoints(files, tmp_path / "weighted.safetensors", weights=[2, 1, 1])
    for path in mean.spec.trained:
        assert (mean.parameters[path] == 3).all()
        assert mean.parameters[path].dtype == np.float32
        assert (load_checkpoint(weighted.checkpoint).parameters[path] == 2.5).all()
    alone = average_checkpoints(files[:1], tmp_path / "alone.safetensors")
    same = load_checkpoint(alone.checkpoint).parameters
    assert all(np.array_equal(same[path], value) for path, value in load_checkpoint(files[0]).parameters.items())


def test_means_that_mean_nothing_are_refused(tmp_path: Path, acz: Callable[..., Answer]) -> None:
    files = [checkpoint_of(tmp_path / f"{value}.safetensors", value) for value in (1, 2)]
    out = tmp_path / "mean.safetensors"
    other = load_config(TINY, {"model.trunk.logits.units": 7}).spec
    save_checkpoint(tmp_path / "other.safetensors", other, initial_parameters(other))
    for words, message in (
        ([*files, "--weights", "1"], "must be 2 positive numbers"),
        ([*files, "--weights", "1,-1"], "must be 2 positive numbers"),
        ([*files, "--weights", "1,x"], "numbers with commas"),
        ([files[0], tmp_path / "other.safetensors"], "is a checkpoint of another model"),
        ([files[0], tmp_path / "none.safetensors"], "there is no checkpoint"),
    ):
        answer = acz("average", *words, "--out", out)
        assert answer.code == 2, words
        assert message in answer.err
    assert not out.exists()
