"""Fine-tuning: frozen parameters, and runs that start from a checkpoint's weights."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.api.runs import new_run, resumed_run
from acz.foundation.errors import Interrupted, SpecError
from acz.model.checkpoint import Checkpoint, load_checkpoint
from acz.model.parameters import initial_parameters
from acz.reference import numpy_backend
from acz.training.loop import train
from acz.zoo.config import load_config
from tests.conftest import TINY

QUICK: dict[str, Any] = {"train.epochs": 2, "train.batch_size": 16, "train.optimizer.weight_decay": 1e-2}
FROZEN = ["features.*", "trunk.logits.bias"]


def last(folder: Path) -> Checkpoint:
    return load_checkpoint(folder / "last.safetensors")


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
    take_step, steps = numpy_backend.training_step, 0

    def interrupted(*arguments: Any) -> object:
        nonlocal steps
        steps += 1
        if steps == 3:
            signal.raise_signal(signal.SIGINT)
        return take_step(*arguments)

    monkeypatch.setattr(numpy_backend, "training_step", interrupted)
    with pytest.raises(Interrupted):
        train(new_run(config, "numpy", "CPU", features, tmp_path / "run", 1))
    train(resumed_run(tmp_path / "run"))
    whole, parts = last(tmp_path / "whole"), last(tmp_path / "run")
    for name, value in (whole.parameters | whole.optimizer).items():
        np.testing.assert_array_equal((parts.parameters | parts.optimizer)[name], value)


def test_patterns_of_frozen_parameters_are_checked() -> None:
    with pytest.raises(SpecError, match=r"train.freeze: 'feature.\*' matches no parameter; did you mean 'features.\*'"):
        load_config(TINY, {"train.freeze": ["feature.*"]})
    with pytest.raises(SpecError, match=r"did you mean 'trunk\.logits\.weight'"):
        load_config(TINY, {"train.freeze": ["trunk.logit.weight"]})
    with pytest.raises(SpecError, match="matches every trained parameter"):
        load_config(TINY, {"train.freeze": ["*"]})
    with pytest.raises(SpecError, match=r"train\.freeze"):
        load_config(TINY, {"train.freeze": "features.*"})
