"""Converted weights are fine-tuned to other classes with frozen parameters, in every backend.

Levels 3 and 4 of parity hold that backends train a model with frozen parameters alike.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import acz
from acz.model.checkpoint import load_checkpoint
from acz.training.log import read_log
from parity_tests.conftest import BACKENDS, require
from parity_tests.run_cases import type_command
from tests.checkpoint_cases import FOLDER

pytestmark = pytest.mark.slow

CLASSES = 5
FROZEN = ("rgb.", "audio.", "trunk.norm.running_mean")
WORDS = [
    *(
        "--set",
        f"model.trunk.experts.classes={CLASSES}",
        "--allow",
        "trunk.experts.*",
        "--allow",
        "trunk.class_gating.*",
    ),
    *("--set", "train.epochs=3", "--set", "train.batch_size=8", "--set", "train.optimizer.learning_rate=0.01"),
    *("--set", "train.optimizer.clip_global_norm=1.0", "--set", "train.optimizer.weight_decay=0.001"),
    *("--set", 'train.freeze=["rgb.*", "audio.*", "trunk.norm.running_mean"]'),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the converted checkpoint of TensorFlow, and videos whose first label shows in their frames."""
    place = tmp_path_factory.mktemp("tuning")
    acz.convert(FOLDER / "tf/pomonam_full/model.ckpt-10", place / "experts.safetensors", batch_size=8)
    random, splits = np.random.default_rng(0), {}
    for split, videos in {"train": 24, "test": 8}.items():
        labels = random.integers(0, 2, (videos, CLASSES), dtype=np.uint8)
        arrays = {
            name: random.integers(0, 128, (videos, 6, width), dtype=np.uint8) + 120 * labels[:, None, :1]
            for name, width in {"rgb": 16, "audio": 6}.items()
        }
        splits[split] = [acz.write_shard(place / "data", split, 0, {**arrays, "labels": labels})]
    acz.write_manifest(place / "data", splits, {"source": "random numbers"})
    return place


@pytest.mark.parametrize("backend", BACKENDS)
def test_frozen_parameters_stay_and_the_others_learn(backend: str, folder: Path) -> None:
    require(backend)
    typed = ("train", "--from", "experts.safetensors", "--data", "data", "--backend", backend, "--out", backend)
    answer = type_command(*typed, *WORDS, cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert "starts from experts.safetensors" in answer.stderr
    origin = load_checkpoint(folder / "experts.safetensors").parameters
    trained = load_checkpoint(folder / backend / "last.safetensors")
    new = json.loads((folder / backend / "run.json").read_text(encoding="utf-8"))["start"]["new"]
    assert {path.rpartition(".")[0].split(".")[1] for path in new} == {"experts", "class_gating"}
    for path, parameter in trained.spec.parameters.items():
        stays = path.startswith(FROZEN) or parameter.role == "fixed"
        if path not in new:
            assert np.array_equal(trained.parameters[path], origin[path]) == stays, path
        assert (f"m.{path}" in trained.optimizer) == (parameter.role == "trained" and not stays), path
    losses = [
        line["train_loss"] for line in read_log(folder / backend / "metrics.jsonl") if line["kind"] == "evaluation"
    ]
    assert losses[-1] < losses[0]
