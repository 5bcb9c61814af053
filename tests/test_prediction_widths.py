"""The number of labels in files of predictions: enough for later, said, and never cut in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.evaluation.metrics import top_classes
from acz.evaluation.predictions import HEADER
from acz.foundation.arrays import Array
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.zoo.config import load_spec
from tests.conftest import TINY, Answer, write_features, write_several_labels
from tests.prediction_cases import read, saved

CLASSES = 60
SPEC = load_spec(TINY, {"model.trunk.logits.units": CLASSES, "model.output": "sigmoid"})
PARAMETERS = initial_parameters(SPEC, 0, np.dtype(np.float32))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "m.safetensors", SPEC, PARAMETERS)
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize(("name", "kept"), [("p.npz", 50), ("p.jsonl", 50), ("p.csv", 20)])
def test_inference_keeps_enough_for_later(
    acz: Callable[..., Answer], model: Path, features: Path, tmp_path: Path, name: str, kept: int
) -> None:
    answer = acz("infer", model, "--data", features, "--backend", "numpy", "--out", tmp_path / name)
    assert f"the best {kept} labels of 64 videos" in answer.out
    assert read(tmp_path / name).labels.shape == (64, kept)


def test_a_model_of_fewer_classes_keeps_them_all(acz: Callable[..., Answer], features: Path, tmp_path: Path) -> None:
    spec = load_spec(TINY)
    save_checkpoint(tmp_path / "six.safetensors", spec, initial_parameters(spec, 0, np.dtype(np.float32)))
    words = ("infer", tmp_path / "six.safetensors", "--data", features, "--backend", "numpy")
    assert "the best 6 labels" in acz(*words, "--out", tmp_path / "p.npz").out
    assert read(tmp_path / "p.npz").labels.shape == (64, 6)


def scores_of(seed: int) -> Array:
    return np.random.default_rng(seed).random((9, CLASSES), np.float32)


def save_best(path: Path, scores: Array, count: int) -> Path:
    labels, best = top_classes(scores, count)
    return saved(path, [f"v{row}" for row in range(len(scores))], labels, best)


def test_an_ensemble_of_defaults_is_the_mean_of_the_models(
    acz: Callable[..., Answer], features: Path, model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, SPEC, initial_parameters(SPEC, 1, np.dtype(np.float32)))
    files = []
    for path in (model, other):
        files.append(tmp_path / f"{path.stem}.npz")
        assert acz("infer", path, "--data", features, "--backend", "numpy", "--out", files[-1]).code == 0
    answer = acz("ensemble", *files, "--out", tmp_path / "both.csv")
    assert f"labels of a video: {files[0]} 50, {files[1]} 50; 20 are written" in answer.err
    assert "warning" not in answer.err
    lines = (tmp_path / "both.csv").read_text().splitlines(keepends=True)
    assert lines[0] == HEADER
    assert all(len(line.split()) == 40 for line in lines[1:])
    whole = [tmp_path / "m-whole.npz", tmp_path / "other-whole.npz"]
    for path, out in zip((model, other), whole, strict=True):
        acz("infer", path, "--data", features, "--backend", "numpy", "--top-k", CLASSES, "--out", out)
    acz("ensemble", *whole, "--top-k", 10, "--out", tmp_path / "best.csv")
    best = [" ".join(line.split()[:20]) for line in lines[1:]]
    assert best == (tmp_path / "best.csv").read_text().splitlines()[1:], "the ten best are those of all scores"
    assert acz("ensemble", *files, "--out", tmp_path / "both.jsonl").code == 0
    assert read(tmp_path / "both.jsonl").labels.shape == (64, 50)


def test_files_of_5_and_of_20_give_20_and_a_warning(acz: Callable[..., Answer], tmp_path: Path) -> None:
    first, second = scores_of(0), scores_of(1)
    short, long = save_best(tmp_path / "short.npz", first, 5), save_best(tmp_path / "long.npz", second, 20)
    zeroed = np.zeros_like(first)
    np.put_along_axis(zeroed, top_classes(first, 5)[0], top_classes(first, 5)[1], axis=1)
    kept = np.zeros_like(second)
    np.put_along_axis(kept, top_classes(second, 20)[0], top_classes(second, 20)[1], axis=1)
    labels, means = top_classes((zeroed.astype(float) + kept) / 2, 20)
    for files in ((short, long), (long, short)):
        answer = acz("ensemble", *files, "--out", tmp_path / "o.npz", "--json")
        assert json.loads(answer.out)["examples"] == 9
        assert "warning: a label that a file does not list counts 0 there" in answer.err
        assert "--top-k 20" in answer.err
        averaged = read(tmp_path / "o.npz")
        np.testing.assert_array_equal(averaged.labels, labels)
        np.testing.assert_allclose(averaged.scores, means, rtol=1e-6)
    chosen = acz("ensemble", short, long, "--top-k", 3, "--out", tmp_path / "o.npz")
    assert f"{short} 5, {long} 20; 3 are written" in chosen.err
    np.testing.assert_array_equal(read(tmp_path / "o.npz").labels, labels[:, :3])


def test_a_video_of_fewer_labels_than_the_first_says_what_to_type(acz: Callable[..., Answer], tmp_path: Path) -> None:
    rows = [f"v{row},1 0.5 2 0.25 3 0.125\n" for row in range(5000)]
    (tmp_path / "a.csv").write_text(HEADER + "".join(rows[:-1]) + "v4999,1 0.5\n")
    answer = acz("ensemble", tmp_path / "a.csv", tmp_path / "a.csv", "--out", tmp_path / "o.npz")
    assert answer.code == 2
    assert "video 'v4999' has 1 labels in all files, fewer than" in answer.err
    assert "--top-k 1" in answer.err


def test_eval_says_how_many_labels_a_file_lists(acz: Callable[..., Answer], tmp_path: Path, model: Path) -> None:
    data = write_features(tmp_path / "d", classes=CLASSES)
    several = write_several_labels(tmp_path / "several")
    ids = [str(number) for number in range(40)]
    labels, scores = top_classes(np.random.default_rng(0).random((40, 6), np.float32), 3)
    path = saved(tmp_path / "p.npz", ids, labels, scores)
    answer = acz("eval", "--predictions", path, "--labels", several)
    assert answer.out.endswith("(40 videos, the best 3 labels of each)\n")
    assert "p.npz lists 3 labels of a video at most; GAP and mAP count 6" in answer.err
    assert json.loads(acz("eval", "--predictions", path, "--labels", several, "--json").out)["listed"] == 3
    whole = saved(tmp_path / "w.npz", ids, *top_classes(np.random.default_rng(0).random((40, 6), np.float32), 6))
    answer = acz("eval", "--predictions", whole, "--labels", several)
    assert "the best 6 labels of each" in answer.out
    assert "lists" not in answer.err
    answer = acz("infer", model, "--data", data, "--backend", "numpy", "--top-k", 5, "--out", tmp_path / "one.npz")
    scored = acz("eval", "--predictions", tmp_path / "one.npz", "--labels", data)
    assert "the best 5 labels of each" in scored.out
    assert "GAP" not in scored.out + scored.err
