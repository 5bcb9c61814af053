"""Video-level shards: made, converted, read by the zoo's models; and test shards without labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.making.synthesize import Synthesis
from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.shards.messages import full
from acz.data.youtube8m.shards.records import contents
from acz.foundation.errors import DataError
from acz.model.losses import LOSSES
from acz.reference import execution
from acz.zoo.config import load_config, load_spec
from tests.conftest import Answer
from tests.youtube8m_cases import record, write

Acz = Callable[..., Answer]
SMALL = ("--frames", 4, 9, "--classes", 9)
MODELS = ["youtube8m/video_logistic", "youtube8m/video_experts"]
NAMES = ["mean_rgb", "mean_audio"]


def synthesize(acz: Acz, out: Path, *words: object) -> Answer:
    answer = acz("data", "youtube8m", "synthesize", "--out", out, *SMALL, *words)
    assert answer.code == 0, answer.err
    return answer


def test_a_video_level_record_has_the_means_of_the_frames(acz: Acz, tmp_path: Path) -> None:
    synthesize(acz, tmp_path / "means", "--videos", 3, "--level", "video", "--seed", 5)
    labels, frames = Synthesis(3, 1, 1, 1, seed=5, frames=(4, 9), classes=9).video("train", 2)
    *_, last = contents(tmp_path / "means/train0000.tfrecord")
    features = full(last).context.feature
    assert features["id"].bytes_list.value[0] == b"t0000002"
    assert list(features["labels"].int64_list.value) == labels
    means = (frames.astype(np.float64) * 4 / 255 + (4 / 512 - 2)).mean(axis=0)
    np.testing.assert_allclose(features["mean_rgb"].float_list.value, means[:1024], rtol=0, atol=2e-7)
    np.testing.assert_allclose(features["mean_audio"].float_list.value, means[1024:], rtol=0, atol=2e-7)
    shown = acz("data", "youtube8m", "show", tmp_path / "means").out
    assert "video level\nfeatures: mean_rgb 1,024 float32, mean_audio 128 float32\nlabels: " in shown


def test_test_shards_have_no_labels_and_ids_of_their_own(acz: Acz, tmp_path: Path) -> None:
    made = synthesize(acz, tmp_path / "a", "--videos", 4, "--test", 3)
    assert "4 training and 1 validation videos and 3 test videos without labels" in made.out
    kept = [full(content) for content in contents(tmp_path / "a/test0000.tfrecord")]
    assert [message.context.feature["id"].bytes_list.value[0] for message in kept] == [
        b"u0000000",
        b"u0000001",
        b"u0000002",
    ]
    assert not any("labels" in message.context.feature for message in kept)
    verified = acz("data", "youtube8m", "verify", tmp_path / "a", "--unlabelled", "--classes", 9, "--json")
    assert (verified.code, json.loads(verified.out)["videos"]) == (0, 8)
    assert acz("data", "youtube8m", "verify", tmp_path / "a", "--classes", 9).code == 1
    assert len(open_youtube8m(tmp_path / "a", "test", Reading(classes=9))) == 1, "evaluation reads the validation shard"


def test_settings_of_a_synthesis_without_the_later_ones_are_as_before() -> None:
    later = {"test", "test_shards", "level"}
    assert not later & set(Synthesis(4, 1, 1, 1).to_json())
    assert Synthesis(4, 1, 1, 1, test=2, test_shards=1, level="video").to_json().keys() >= later


@pytest.mark.parametrize("words", [("--level", "videos"), ("--test", -1)])
def test_another_level_and_a_negative_count_are_refused(acz: Acz, tmp_path: Path, words: tuple[object, ...]) -> None:
    answer = acz("data", "youtube8m", "synthesize", "--videos", 3, "--out", tmp_path / "a", *words)
    assert (answer.code, words[0] in answer.err) == (2, True)
    assert not (tmp_path / "a").exists()


def test_converted_means_are_read_as_from_the_shards(acz: Acz, tmp_path: Path) -> None:
    synthesize(acz, tmp_path / "shards", "--videos", 6, "--test", 2, "--level", "video")
    words = ("--classes", 9, "--unlabelled", "--out", tmp_path / "arrays")
    converted = acz("data", "youtube8m", "convert", tmp_path / "shards", *words)
    assert converted.code == 0, converted.err
    for split, count in (("train", 6), ("test", 1)):
        shards, arrays = (open_youtube8m(tmp_path / n, split, Reading(classes=9)) for n in ("shards", "arrays"))
        assert (len(shards), len(arrays), arrays.input_names) == (count, count, tuple(NAMES))
        numbers = np.arange(count)[::-1].copy()
        want, got = shards.take(numbers, NAMES), arrays.take(numbers, NAMES)
        assert got.ids == want.ids
        np.testing.assert_array_equal(got.labels, want.labels)
        for name in NAMES:
            np.testing.assert_array_equal(got.inputs[name], want.inputs[name])


def test_shards_of_both_levels_are_not_converted_together(acz: Acz, tmp_path: Path) -> None:
    synthesize(acz, tmp_path / "a", "--videos", 2, "--level", "video")
    write(tmp_path / "a/validate0000.tfrecord", [record("abcd", [3])])
    answer = acz("data", "youtube8m", "convert", tmp_path / "a", "--classes", 9, "--out", tmp_path / "b")
    assert answer.code == 2
    assert "shards of frames and of videos (train video, validate frame)" in answer.err


@pytest.mark.parametrize("model", MODELS)
def test_the_models_of_the_starter_code_compute_their_formula(model: str) -> None:
    """From the definition: the joined means divided by their norm, then sigmoid(x W + b) or the gated experts."""
    spec = load_spec(f"{model}:tiny")
    source = np.random.default_rng(3)
    parameters = {path: source.normal(size=value.shape) for path, value in spec.parameters.items()}
    inputs = {"mean_rgb": source.normal(size=(6, 4)), "mean_audio": source.normal(size=(6, 3))}
    x = np.concatenate([inputs["mean_rgb"], inputs["mean_audio"]], axis=1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    if "logistic" in model:
        want = 1 / (1 + np.exp(-(x @ parameters["trunk.logits.weight"] + parameters["trunk.logits.bias"])))
    else:
        gates = np.exp(x @ parameters["trunk.experts.gates.weight"]).reshape(6, 3, 3)
        experts = x @ parameters["trunk.experts.experts.weight"] + parameters["trunk.experts.experts.bias"]
        experts = (1 / (1 + np.exp(-experts))).reshape(6, 3, 2)
        want = (gates[:, :, :2] / gates.sum(axis=2, keepdims=True) * experts).sum(axis=2)
    np.testing.assert_allclose(execution.forward(spec, parameters, inputs)["output"], want, rtol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_the_models_read_video_level_shards_and_refuse_frames(acz: Acz, tmp_path: Path, model: str) -> None:
    synthesize(acz, tmp_path / "means", "--videos", 3, "--level", "video")
    synthesize(acz, tmp_path / "frames", "--videos", 3)
    width = "model.trunk.logits.units" if "logistic" in model else "model.trunk.experts.classes"
    spec, loss = load_spec(model, {width: 9}), LOSSES["probability_cross_entropy"]
    reading = Reading(classes=9)
    open_youtube8m(tmp_path / "means", "train", reading).require(spec, loss)
    with pytest.raises(DataError, match="has no 'mean_rgb', which the model reads; it holds rgb, audio"):
        open_youtube8m(tmp_path / "frames", "train", reading).require(spec, loss)


def test_small_variants_are_for_the_synthetic_videos() -> None:
    for model in MODELS:
        config = load_config(f"{model}:small")
        assert config.spec.width == config.reading.model_dump()["classes"] == 500
        assert {entry.resolve() for entry in config.spec.inputs.values()} == {(1024,), (128,)}
