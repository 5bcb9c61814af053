"""Advice at the start of training: the starting biases of several labels, and a device that is not used."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.api.runs import new_run
from acz.backend.devices import advise_on_device
from acz.data.folder import write_manifest, write_shard
from acz.training.advice import advise_on_bias
from acz.zoo.config import load_config
from tests.conftest import TINY, Answer

SEVERAL = {"model.output": "sigmoid", "model.trunk.logits.units": 40}
BIAS = "model.trunk.logits.bias_start"


def write_labels(folder: Path, classes: int, a_video: int, one_class: bool = False) -> Path:
    """A data set that the tiny attention cluster reads, with `a_video` labels for each video."""
    source, splits = np.random.default_rng(0), {}
    for split in ("train", "test"):
        labels = np.zeros((24, classes), np.uint8)
        for row in labels:
            row[source.permutation(classes)[:a_video]] = 1
        features = source.standard_normal((24, 5, 4)).astype(np.float32)
        arrays = {"features": features, "labels": labels.argmax(axis=1) if one_class else labels}
        splits[split] = [write_shard(folder, split, 0, arrays)]
    write_manifest(folder, splits, {"what": "test"})
    return folder


def advice(data: Path, folder: Path, **changes: object) -> str:
    return advise_on_bias(new_run(load_config(TINY, changes), "numpy", "CPU", data, folder, 1))


def test_few_of_many_labels_need_biases_at_their_share(tmp_path: Path) -> None:
    words = advice(write_labels(tmp_path / "data", 40, 2), tmp_path / "run", **SEVERAL)
    assert words.startswith("a video has 2 of 40 labels, and the biases of trunk.logits start near 0; ")
    assert f"--set {BIAS}={math.log(0.05 / 0.95):.1f} starts them" in words
    assert f"{math.log(0.05 / 0.95):.1f}" == "-2.9"


@pytest.mark.parametrize(
    ("a_video", "one_class", "changes"),
    [
        (2, False, {**SEVERAL, BIAS: -5}),
        (2, False, {**SEVERAL, "model.trunk.logits.bias": False}),
        (2, False, {**SEVERAL, "model.trunk.moe": {"type": "mixture_of_experts", "classes": 40}, "model.output": "probabilities"}),
        (8, False, SEVERAL),
        (0, False, SEVERAL),
        (1, True, {"model.trunk.logits.units": 40}),
    ],
    ids=["set", "no bias", "experts", "a fifth of the labels", "no labels", "one class"],
)  # fmt: skip
def test_other_models_and_labels_get_no_advice(
    a_video: int, one_class: bool, changes: dict[str, object], tmp_path: Path
) -> None:
    assert advice(write_labels(tmp_path / "data", 40, a_video, one_class), tmp_path / "run", **changes) == ""


def test_training_prints_it_once_and_fine_tuning_does_not(acz: Callable[..., Answer], tmp_path: Path) -> None:
    data = write_labels(tmp_path / "data", 40, 2)
    sets = [word for path, value in SEVERAL.items() for word in ("--set", f"{path}={value}")]
    words = ("--backend", "numpy", "--data", data, "--set", "train.epochs=1", "--set", "train.batch_size=12")
    trained = acz("train", TINY, *words, *sets, "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    assert trained.err.count("bias_start") == 1
    assert "this runs on the CPU" not in trained.err, "NumPy has no other device"
    tuned = acz("train", "--from", tmp_path / "run", *words, "--out", tmp_path / "tuned")
    assert (tuned.code, "bias_start" in tuned.err) == (0, False)


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (["CPU"], ""),
        (["CPU", "GPU:0"], "this runs on the CPU, and GPU:0 is here; add --device GPU"),
        (["CPU", "Ascend:0", "Ascend:1"], "this runs on the CPU, and Ascend:0, Ascend:1 are here; add --device Ascend"),
    ],
)
def test_a_device_that_is_not_used_is_mentioned(devices: list[str], words: str) -> None:
    assert advise_on_device(devices) == words
