"""Resuming with more epochs, other settings, or other data."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import acz as package
from acz.api.runs import new_run, resumed_run
from acz.cli.train import train_command
from acz.foundation.errors import Interrupted, SpecError
from acz.foundation.progress import Progress
from acz.model.checkpoint import load_checkpoint
from acz.reference import numpy_backend
from acz.studies.reports.run_comparison import read_runs
from acz.training.log import read_log
from acz.training.loop import SPEEDS, train
from acz.training.resuming import CHANGEABLE
from acz.training.run import Run
from acz.zoo.config import load_config
from tests.conftest import TINY, Answer, write_features

RECIPE = {
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.optimizer.learning_rate": 0.05,
    "train.schedule.type": "constant",
}


class Lines(Progress):
    """Keeps the lines that a user sees."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def start(data: Path, folder: Path, **more: object) -> Run:
    return new_run(load_config(TINY, {**RECIPE, **more}), "numpy", "CPU", data, folder, 1)


def resume(folder: Path, overrides: dict[str, Any] | None = None, data: Path | None = None) -> tuple[Run, list[str]]:
    run, shown = resumed_run(folder, data=data, overrides=overrides), Lines()
    train(run, shown)
    return run, shown.lines


def evaluations(folder: Path) -> list[dict[str, Any]]:
    return [line for line in read_log(folder / "metrics.jsonl") if line["kind"] == "evaluation"]


def about(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return content


# More epochs


def interrupt_in_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Ctrl-C come in a step from now, counted from 1."""
    original, count = numpy_backend.training_step, 0

    def interrupted(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == number:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(numpy_backend, "training_step", interrupted)


def test_two_epochs_and_two_more_are_four(features: Path, tmp_path: Path) -> None:
    train(start(features, tmp_path / "whole", **{"train.epochs": 4}))
    train(start(features, tmp_path / "run"))
    run, lines = resume(tmp_path / "run", {"train.epochs": 4})
    assert run.state.epoch == 4
    assert f"{tmp_path / 'run'}: train.epochs was 2, is 4" in lines
    assert (
        "schedule constant over 16 steps: the learning rate was 0.05 at the last step and is 0.05 at the next" in lines
    )
    whole, parts = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("whole", "run"))
    for name, value in whole.parameters.items():
        np.testing.assert_array_equal(parts.parameters[name], value)
    for name, value in whole.optimizer.items():
        np.testing.assert_array_equal(parts.optimizer[name], value)
    without_time = [
        [{key: value for key, value in line.items() if key not in SPEEDS} for line in evaluations(tmp_path / name)]
        for name in ("whole", "run")
    ]
    assert without_time[0] == without_time[1]
    assert about(tmp_path / "run")["config"]["train"]["epochs"] == 4
    assert about(tmp_path / "run")["resumed"] == [{"step": 8, "epoch": 2, "changed": {"train.epochs": [2, 4]}}]


def test_the_schedule_continues_by_its_own_rule_and_says_so(features: Path, tmp_path: Path) -> None:
    cosine = {"train.schedule.type": "warmup_cosine", "train.schedule.warmup": 0.0}
    train(start(features, tmp_path / "run", **cosine))
    _, lines = resume(tmp_path / "run", {"train.epochs": 4})
    last = 0.05 * (1 + np.cos(np.pi * 7 / 8)) / 2
    following = 0.05 * (1 + np.cos(np.pi * 8 / 16)) / 2
    assert (
        f"schedule warmup_cosine over 16 steps: the learning rate was {last:.3g} at the last step and is "
        f"{following:.3g} at the next" in lines
    )
    rates = [line["learning_rate"] for line in evaluations(tmp_path / "run")]
    wanted = [0.05 * (1 + np.cos(np.pi * step / steps)) / 2 for step, steps in ((3, 8), (7, 8), (11, 16), (15, 16))]
    np.testing.assert_allclose(rates, wanted)


def test_a_later_resume_agrees(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(start(features, tmp_path / "run"))
    interrupt_in_step(3, monkeypatch)
    with pytest.raises(Interrupted):
        resume(tmp_path / "run", {"train.epochs": 5})
    run, lines = resume(tmp_path / "run")
    assert run.state.epoch == 5
    assert not any("was" in line for line in lines), "nothing changed this time"


def test_with_nothing_left_the_command_says_what_to_type(acz: Callable[..., Answer], features: Path) -> None:
    sets = [word for key, value in RECIPE.items() for word in ("--set", f"{key}={value}")]
    folder = features.parent / "ended"
    assert acz("train", TINY, "--backend", "numpy", "--data", features, *sets, "--out", folder).code == 0
    before = (folder / "run.json").read_bytes()
    answer = acz("train", "--resume", "--out", folder)
    assert answer.code == 0
    command = f"acz train --resume --out {folder} --set train.epochs=4"
    assert f"{folder}: all 2 epochs are complete, so nothing is left to do; '{command}' trains on" in answer.err
    assert (folder / "run.json").read_bytes() == before
    more = acz(*command.split()[1:], "--json")
    assert more.code == 0, more.err
    assert json.loads(more.out)["epochs"] == 4
    fewer = acz("train", "--resume", "--out", folder, "--set", "train.epochs=3")
    assert (fewer.code, "has begun epoch 4; give 4 or more" in fewer.err) == (2, True)


def test_after_early_stopping_the_setting_is_named(features: Path, tmp_path: Path) -> None:
    still = {"train.epochs": 9, "train.optimizer.learning_rate": 0.0, "train.early_stopping": {"patience": 2}}
    assert train(start(features, tmp_path / "run", **still)).epoch == 3
    _, lines = resume(tmp_path / "run")
    assert lines == [
        f"{tmp_path / 'run'}: stopped early after epoch 3 (patience 2), so nothing is left to do; "
        f"'acz train --resume --out {tmp_path / 'run'} --set train.early_stopping=null' trains on"
    ]
    run, _ = resume(tmp_path / "run", {"train.early_stopping.patience": 4})
    assert (run.state.epoch, run.state.stopped) == (5, True)
    run, _ = resume(tmp_path / "run", {"train.early_stopping": None})
    assert run.state.epoch == 9


@pytest.mark.parametrize(
    "name", ["train.batch_size", "train.seed", "train", "model.trunk.logits.units", "data.reading.sampling"]
)
def test_other_settings_are_refused_by_name(features: Path, tmp_path: Path, name: str) -> None:
    train(start(features, tmp_path / "run", **{"train.epochs": 1}))
    before = (tmp_path / "run/run.json").read_bytes()
    with pytest.raises(SpecError, match=rf"{name} can't change when a run is resumed; train\.epochs, .* can"):
        package.resume(tmp_path / "run", overrides={"train.epochs": 3, name: 7})
    assert (tmp_path / "run/run.json").read_bytes() == before


def test_options_of_reading_are_settings_too(acz: Callable[..., Answer], features: Path, tmp_path: Path) -> None:
    train(start(features, tmp_path / "run"))
    refused = acz("train", "--resume", "--out", tmp_path / "run", "--sampling", "strata:3")
    assert (refused.code, "data.reading.sampling can't change" in refused.err) == (2, True)
    words = ("--workers", 1, "--set", "train.epochs=3", "--set", "train.checkpoint_steps=7")
    assert acz("train", "--resume", "--out", tmp_path / "run", *words).code == 0
    assert about(tmp_path / "run")["config"]["data"]["reading"]["workers"] == 1


def test_the_help_lists_what_may_change() -> None:
    option = get_type_hints(train_command, include_extras=True)["resume"].__metadata__[0]
    assert all(name in option.help for name in CHANGEABLE)


# Other data


@pytest.fixture
def more(tmp_path: Path) -> Path:
    """A data set of twice as many videos as the fixture `features`."""
    return write_features(tmp_path / "more", seed=3, videos=128)


def test_the_best_epoch_is_of_one_data_set(features: Path, tmp_path: Path, more: Path) -> None:
    train(start(features, tmp_path / "run", **{"train.epochs": 8}))
    former = load_checkpoint(tmp_path / "run/best.safetensors").state
    slow = {"train.epochs": 10}
    run, lines = resume(tmp_path / "run", slow, more)
    assert (
        f"{more} is another data set than before; figures of epochs 1 .. 8 are not compared with those to come" in lines
    )
    assert run.state.epoch == 10
    assert run.state.step == 8 * 4 + 2 * 8, "four steps an epoch, then eight"
    later = [line for line in evaluations(tmp_path / "run") if line["epoch"] > 8]
    assert [line["step"] for line in later] == [40, 48]
    best = max(later, key=lambda line: line["top1"])
    assert (run.state.best_epoch, run.state.best["top1"]) == (best["epoch"], best["top1"])
    assert load_checkpoint(tmp_path / "run/best.safetensors").state["epoch"] == best["epoch"]
    assert former["epoch"] <= 8
    assert read_runs([tmp_path / "run"])[0].best["epoch"] == best["epoch"]
    kept = about(tmp_path / "run")
    assert kept["data"] == str(more)
    assert kept["data_since"] == {"step": 32, "epoch": 8}
    again, lines = resume(tmp_path / "run", {"train.epochs": 11})
    assert (again.state.step, again.data) == (56, more)
    assert not any("another data set" in line for line in lines)


def test_inside_an_epoch_the_next_one_begins_with_the_other_data(
    features: Path, tmp_path: Path, more: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_step(6, monkeypatch)
    with pytest.raises(Interrupted):
        train(start(features, tmp_path / "run", **{"train.epochs": 3}))
    run, lines = resume(tmp_path / "run", data=more)
    assert run.state.step == 6 + 2 * 8
    assert [line["step"] for line in evaluations(tmp_path / "run")] == [4, 14, 22]
    assert run.state.best_epoch in (2, 3)
    assert any("epochs 1 .. 1 are not compared" in line for line in lines)


def test_a_smaller_data_set_and_no_epoch_left(features: Path, tmp_path: Path) -> None:
    few = write_features(tmp_path / "few", seed=4, videos=20)
    train(start(features, tmp_path / "run"))
    before = (tmp_path / "run/run.json").read_bytes()
    _, lines = resume(tmp_path / "run", data=few)
    assert "nothing is left to do" in lines[0]
    assert (tmp_path / "run/run.json").read_bytes() == before
    run, _ = resume(tmp_path / "run", {"train.epochs": 5}, few)
    assert (run.state.epoch, run.state.step) == (5, 8 + 3)


def test_the_same_data_elsewhere_are_compared(features: Path, tmp_path: Path) -> None:
    train(start(features, tmp_path / "run"))
    moved = write_features(tmp_path / "moved")
    run, lines = resume(tmp_path / "run", {"train.epochs": 3}, moved)
    assert not any("another data set" in line for line in lines)
    assert "data_since" not in about(tmp_path / "run")
    figures = [line["top1"] for line in evaluations(tmp_path / "run")]
    assert run.state.best["top1"] == max(figures)


@pytest.mark.parametrize("step", [1, 3, 9, 12])
def test_stopped_anywhere_on_the_other_data_it_ends_with_the_same_numbers(
    features: Path, tmp_path: Path, more: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Step 1 fails, so that run.json names the other data and no checkpoint was written on it."""
    for name in ("whole", "run"):
        train(start(features, tmp_path / name))
    resume(tmp_path / "whole", {"train.epochs": 4}, more)
    original, count = numpy_backend.training_step, 0

    def stopped(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == step == 1:
            raise RuntimeError("the process ends")
        if count == step:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(numpy_backend, "training_step", stopped)
    with pytest.raises((Interrupted, RuntimeError)):
        resume(tmp_path / "run", {"train.epochs": 4}, more)
    run, _ = resume(tmp_path / "run")
    whole, parts = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("whole", "run"))
    assert parts.state == whole.state
    for name, value in whole.parameters.items():
        np.testing.assert_array_equal(parts.parameters[name], value)
    assert run.state.best_epoch in (3, 4)
    kept = [load_checkpoint(tmp_path / name / "best.safetensors") for name in ("whole", "run")]
    assert kept[0].state == kept[1].state


def test_back_to_the_first_data_the_figures_of_the_other_do_not_count(
    features: Path, tmp_path: Path, more: Path
) -> None:
    train(start(features, tmp_path / "run"))
    resume(tmp_path / "run", {"train.epochs": 3}, more)
    run, lines = resume(tmp_path / "run", {"train.epochs": 4}, features)
    assert any(
        line.startswith(f"{features} is another data set than before; figures of epochs 1 .. 3") for line in lines
    )
    assert run.state.best_epoch == 4
    assert about(tmp_path / "run")["data_since"] == {"step": 16, "epoch": 3}
    assert [entry["step"] for entry in about(tmp_path / "run")["resumed"]] == [8, 16]
