"""Distillation from a file of predictions: labels, losses, files that do not fit, and a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acz
from acz.data.registry import open_split
from acz.evaluation.predictions import Part, write_part
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError, DataError, SpecError
from acz.model.losses import LOSSES
from acz.training.distillation import Teacher
from acz.zoo.config import load_config
from acz.zoo.recipe import Distillation
from tests.conftest import write_several_labels

MODEL: dict[str, Any] = {
    "model": {
        "inputs": {"features": {"frames": 5, "features": 4}},
        "streams": {"features": {"input": "features", "layers": {"pool": {"type": "frame_pool", "pooling": "mean"}}}},
        "trunk": {"logits": {"type": "dense", "units": 6}},
        "output": "sigmoid",
    },
    "train": {"epochs": 1, "batch_size": 8},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_several_labels(tmp_path / "data")


def predictions(path: Path, data: Path, scores: Array, top_k: int = 6) -> Path:
    """A file with the best of the scores (videos, classes) of the training split."""
    split = open_split(data, "train")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    write_part(path, [Part(split.ids(np.arange(len(split))), order, np.take_along_axis(scores, order, 1))])
    return path


def draw(data: Path) -> Array:
    return np.random.default_rng(0).random((len(open_split(data, "train")), 6)).astype(np.float32)


@pytest.mark.parametrize(
    "loss", ["sigmoid_cross_entropy", "probability_cross_entropy", "probability_cross_entropy(alpha=0.8)"]
)
def test_the_loss_of_mixed_labels_is_the_mix_of_losses(loss: str, data: Path, tmp_path: Path) -> None:
    scores, split = draw(data), open_split(data, "train")
    teacher = Teacher(
        Distillation(predictions=str(predictions(tmp_path / "p.npz", data, scores)), weight=0.3), split, 6
    )
    examples = split.take(np.array([3, 0, 5]), ["features"])
    logits = np.random.default_rng(1).standard_normal((3, 6))
    both = [LOSSES[loss].reference(logits, 1 / (1 + np.exp(-logits)), y) for y in (examples.labels, scores[[3, 0, 5]])]
    mixed = teacher.mix(examples).labels
    assert mixed.dtype == np.float32
    value = LOSSES[loss].reference(logits, 1 / (1 + np.exp(-logits)), mixed.astype(np.float64))
    assert value == pytest.approx(0.7 * both[0] + 0.3 * both[1], rel=1e-6)


def test_a_class_that_is_not_listed_counts_as_0_and_its_score_is_bounded(data: Path, tmp_path: Path) -> None:
    scores, split = draw(data), open_split(data, "train")
    teacher = Teacher(Distillation(predictions=str(predictions(tmp_path / "p.npz", data, scores, 2))), split, 6)
    numbers = np.arange(len(split))
    labels = split.take(numbers, ["features"]).labels
    given = teacher.mix(split.take(numbers, ["features"])).labels - 0.5 * labels
    assert ((given > 0).sum(axis=1) == 2).all()
    least = np.sort(scores, axis=1)[:, -2]
    assert (np.where(given > 0, 0, scores).max(axis=1) <= least).all()
    assert teacher.least_listed == pytest.approx(least.mean())
    assert f"{least.mean():.2g} in the mean" in str(teacher)


def test_a_student_of_a_run_learns_from_the_file_that_acz_infer_writes(data: Path, tmp_path: Path) -> None:
    acz.train(MODEL, backend="numpy", data=data, out=tmp_path / "teacher")
    file = tmp_path / "teacher.npz"
    acz.infer(tmp_path / "teacher", file, backend="numpy", data=data, split="train", top_k=6)
    start = acz.load_checkpoint(tmp_path / "teacher/best.safetensors")
    ends = {}
    for name, more in (("alone", {}), ("student", {"train.distill": {"predictions": str(file), "weight": 1.0}})):
        settings = {"train.optimizer.epsilon": 1.0, **more}  # so that rounding makes no step of full size
        acz.train(start_from=tmp_path / "teacher", backend="numpy", data=data, out=tmp_path / name, overrides=settings)
        ends[name] = acz.load_checkpoint(tmp_path / name / "last.safetensors")
    moved = {
        name: max(float(np.abs(end.parameters[path] - start.parameters[path]).max()) for path in start.spec.trained)
        for name, end in ends.items()
    }
    assert moved["student"] < 1e-2 * moved["alone"], "a teacher has nothing to teach its own weights"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores[:-1], "videos, and the training split has"),
        (lambda scores: scores * 3, "scores of 0 .. 1"),
        (lambda scores: np.concatenate([scores, scores], axis=1), "labels below 6"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change: Any, message: str, data: Path, tmp_path: Path) -> None:
    scores = change(draw(data))
    ids = open_split(data, "train").ids(np.arange(len(scores)))
    write_part(tmp_path / "p.npz", [Part(ids, np.tile(np.arange(scores.shape[1]), (len(scores), 1)), scores)])
    with pytest.raises(DataError, match=message):
        Teacher(Distillation(predictions=str(tmp_path / "p.npz")), open_split(data, "train"), 6)


def test_settings_that_do_not_fit_are_refused() -> None:
    teacher = {"train.distill": {"predictions": "p.npz"}}
    load_config(MODEL, teacher)
    with pytest.raises(
        SpecError, match="the loss must be sigmoid_cross_entropy or probability_cross_entropy, got hinge"
    ):
        load_config(MODEL, {**teacher, "train.loss": "hinge"})
    with pytest.raises(AczError, match="predictions"):
        load_config(MODEL, {"train.distill": {"weight": 0.5}})
