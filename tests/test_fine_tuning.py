"""Fine-tuning: frozen parameters, and runs that start from a checkpoint's weights."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz as package
from acz.api.runs import new_run, resumed_run
from acz.exchange.weights.matching import DoesNotFit
from acz.foundation.errors import CheckpointError, Interrupted, SpecError
from acz.model.checkpoint import Checkpoint, load_checkpoint
from acz.model.parameters import initial_parameters
from acz.reference import numpy_backend
from acz.training.loop import train
from acz.zoo.config import load_config
from tests.checkpoint_cases import FOLDER
from tests.conftest import TINY, Answer, write_features

QUICK: dict[str, Any] = {
    "train.epochs": 2,
    "train.batch_size": 16,
    "train.optimizer.learning_rate": 0.05,
    "train.schedule.type": "constant",
}
FROZEN = ["features.*", "trunk.logits.bias"]


def last(folder: Path) -> Checkpoint:
    return load_checkpoint(folder / "last.safetensors")


def interrupt_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Press Ctrl-C in a step, counted from 1."""
    take_step, steps = numpy_backend.training_step, 0

    def interrupted(*arguments: Any) -> object:
        nonlocal steps
        steps += 1
        if steps == number:
            signal.raise_signal(signal.SIGINT)
        return take_step(*arguments)

    monkeypatch.setattr(numpy_backend, "training_step", interrupted)


def assert_equal(whole: Checkpoint, parts: Checkpoint) -> None:
    for name, value in (whole.parameters | whole.optimizer).items():
        np.testing.assert_array_equal((parts.parameters | parts.optimizer)[name], value)


# Frozen parameters


def test_frozen_parameters_stay_and_have_no_moments(features: Path, tmp_path: Path) -> None:
    config = load_config(TINY, {**QUICK, "train.freeze": FROZEN, "train.optimizer.l2_penalty": {"features.*": 1.0}})
    train(new_run(config, "numpy", "CPU", features, tmp_path / "run", 1))
    trained, start = last(tmp_path / "run"), initial_parameters(config.spec, config.recipe.seed)
    moved = {path for path, value in start.items() if not np.array_equal(trained.parameters[path], value)}
    assert moved == {"trunk.logits.weight"}
    assert set(trained.optimizer) == {"step", "m.trunk.logits.weight", "v.trunk.logits.weight"}


def test_a_run_with_frozen_parameters_resumes(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(TINY, {**QUICK, "train.freeze": FROZEN})
    train(new_run(config, "numpy", "CPU", features, tmp_path / "whole", 1))
    interrupt_at_step(monkeypatch, 3)
    with pytest.raises(Interrupted):
        train(new_run(config, "numpy", "CPU", features, tmp_path / "run", 1))
    train(resumed_run(tmp_path / "run"))
    assert_equal(last(tmp_path / "whole"), last(tmp_path / "run"))


def test_patterns_of_frozen_parameters_are_checked() -> None:
    with pytest.raises(SpecError, match=r"train.freeze: 'feature.\*' matches no parameter; did you mean 'features.\*'"):
        load_config(TINY, {"train.freeze": ["feature.*"]})
    with pytest.raises(SpecError, match=r"did you mean 'trunk\.logits\.weight'"):
        load_config(TINY, {"train.freeze": ["trunk.logit.weight"]})
    with pytest.raises(SpecError, match="matches every trained parameter"):
        load_config(TINY, {"train.freeze": ["*"]})
    with pytest.raises(SpecError, match=r"train\.freeze"):
        load_config(TINY, {"train.freeze": "features.*"})


# Starting from a checkpoint's weights

CLASSES = {"model.trunk.logits.units": 9}
HEAD = "trunk.logits.*"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("data") / "features")


@pytest.fixture(scope="module")
def source(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run."""
    folder = tmp_path_factory.mktemp("source") / "run"
    train(new_run(load_config(TINY, {**QUICK, "train.epochs": 12}), "numpy", "CPU", data, folder, 1))
    return folder


def tune(source: Path, data: Path, out: Path, **more: Any) -> dict[str, Any]:
    """Fine-tune to other classes; gives run.json."""
    overrides = {**QUICK, **CLASSES, **more.pop("overrides", {})}
    package.train(TINY, start_from=source, backend="numpy", data=data, out=out, overrides=overrides, **more)
    run: dict[str, Any] = json.loads((out / "run.json").read_text())
    return run


def test_another_number_of_classes_is_listed_and_refused_unless_allowed(
    acz: Callable[..., Answer], source: Path, data: Path, tmp_path: Path
) -> None:
    typed = ("train", TINY, "--from", source, "--backend", "numpy", "--data", data, "--out", tmp_path / "run")
    sets = [f"--set={key}={value}" for key, value in {**QUICK, **CLASSES, "train.optimizer.learning_rate": 0}.items()]
    refused = acz(*typed, *sets)
    assert refused.code == 2
    assert "does not fit the model: 2 of another shape, 0 missing, 0 left over" in refused.err
    assert "shape: trunk.logits.weight: (12, 6) in the file, (12, 9) in the model" in refused.err
    assert "--allow NAME lets one of these pass" in refused.err
    assert acz(*typed, *sets, "--allow", "trunk.logits.weight").code == 2
    assert not (tmp_path / "run").exists()
    answer = acz(*typed, *sets, "--allow", "trunk.logits.weight", "--allow", "trunk.logits.b*")
    assert answer.code == 0, answer.err
    best = source / "best.safetensors"
    digest = hashlib.sha256(best.read_bytes()).hexdigest()
    assert (
        f"starts from {best} (sha256 {digest[:12]}): 4 taken, 2 new (trunk.logits.weight, trunk.logits.bias)"
        in answer.err
    )
    origin, trained = load_checkpoint(best).parameters, last(tmp_path / "run")
    start = initial_parameters(trained.spec, 0)
    for path, value in trained.parameters.items():
        np.testing.assert_array_equal(value, (start if path.startswith("trunk.") else origin)[path])
    recorded = json.loads((tmp_path / "run/run.json").read_text())["start"]
    assert (recorded["file"], recorded["sha256"]) == (str(best.resolve()), digest)
    assert recorded["taken"] == [path for path in trained.spec.parameters if path.startswith("features.")]
    assert recorded["new"] == recorded["left_out"] == ["trunk.logits.weight", "trunk.logits.bias"]


def test_it_learns_more_quickly_than_from_the_start(source: Path, data: Path, tmp_path: Path) -> None:
    overrides = {**QUICK, "train.epochs": 1, "train.freeze": ["features.attention.*"]}
    tuned = package.train(
        TINY, start_from=source, backend="numpy", data=data, out=tmp_path / "tuned", overrides=overrides
    )
    whole = package.train(TINY, backend="numpy", data=data, out=tmp_path / "whole", overrides=overrides)
    assert tuned.best["top1"] > whole.best["top1"]
    origin = load_checkpoint(source / "best.safetensors").parameters
    trained = last(tmp_path / "tuned").parameters
    assert all(np.array_equal(trained[path], origin[path]) for path in trained if path.startswith("features."))


def test_arrays_that_the_model_has_not_are_left_out_when_allowed(data: Path, tmp_path: Path) -> None:
    spec = load_config("flash_mnist/attention_cluster_hidden:tiny").spec
    package.save_checkpoint(tmp_path / "hidden.safetensors", spec, initial_parameters(spec, 3))
    with pytest.raises(DoesNotFit, match=r"left over in the file: features\.attention\.hidden\.weight \(4, "):
        tune(tmp_path / "hidden.safetensors", data, tmp_path / "run", allow=["trunk.*"])
    run = tune(tmp_path / "hidden.safetensors", data, tmp_path / "run", allow=["trunk.*", "*.hidden.*", "*.score.*"])
    assert {"features.attention.hidden.weight", "features.attention.score.weight"} <= set(run["start"]["left_out"])
    with pytest.raises(CheckpointError, match=r"'trunk\.logit' names nothing that is missing"):
        tune(tmp_path / "hidden.safetensors", data, tmp_path / "other", allow=["trunk.logit"])


def test_without_a_configuration_it_is_the_checkpoints_own(
    acz: Callable[..., Answer], source: Path, data: Path, tmp_path: Path
) -> None:
    typed = ("train", "--from", source, "--backend", "numpy", "--out", tmp_path / "of_run", "--set", "train.epochs=1")
    assert acz(*typed).code == 0
    run = json.loads((tmp_path / "of_run/run.json").read_text())
    assert run["name"] == TINY
    assert run["data"] == str(data.resolve())
    assert run["config"]["train"]["batch_size"] == 16
    assert run["config"]["train"]["epochs"] == 1
    alone = tmp_path / "alone.safetensors"
    shutil.copy(source / "best.safetensors", alone)
    typed = ("train", "--from", alone, "--backend", "numpy", "--out", tmp_path / "of_file", "--set", "train.epochs=1")
    assert "alone names no data; give a folder with --data" in acz(*typed).err
    assert acz(*typed, "--data", data).code == 0
    run = json.loads((tmp_path / "of_file/run.json").read_text())
    assert run["name"] == "alone"
    assert run["config"]["model"] == load_checkpoint(alone).spec.to_dict()


def test_a_resumed_run_does_not_read_the_checkpoint_again(
    source: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.safetensors"
    shutil.copy(source / "best.safetensors", copy)
    tune(copy, data, tmp_path / "whole", allow=[HEAD])
    interrupt_at_step(monkeypatch, 3)
    with pytest.raises(Interrupted):
        tune(copy, data, tmp_path / "run", allow=[HEAD])
    copy.unlink()
    train(resumed_run(tmp_path / "run"))
    assert_equal(last(tmp_path / "whole"), last(tmp_path / "run"))


def test_a_run_that_ended_before_its_first_checkpoint_does_not_resume_from_other_weights(
    source: Path, data: Path, tmp_path: Path
) -> None:
    tune(source, data, tmp_path / "run", allow=[HEAD])
    for file in (tmp_path / "run").glob("*"):
        if file.name != "run.json":
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    with pytest.raises(CheckpointError, match="ended before its starting weights were saved"):
        train(resumed_run(tmp_path / "run"))


def test_mistakes_of_words_are_refused(acz: Callable[..., Answer], source: Path, data: Path, tmp_path: Path) -> None:
    typed = ("train", TINY, "--backend", "numpy", "--data", data, "--out", tmp_path / "run")
    assert "give start_from (--from) too" in acz(*typed, "--allow", HEAD).err
    foreign = FOLDER / "paddle/AttentionCluster.pdparams"
    assert "a file of another system; 'acz convert' makes a checkpoint of it" in acz(*typed, "--from", foreign).err
    assert "there is no checkpoint" in acz(*typed, "--from", tmp_path / "none.safetensors").err
    assert "leave out CONFIG, --from" in acz("train", "--resume", "--from", source, "--out", source).err
