"""Segments of YouTube-8M as the challenge of 2019 has them: read, weighted, and for every model of the zoo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.reading.reader import YouTube8M
from acz.data.youtube8m.settings import Reading
from acz.foundation.errors import DataError
from acz.model.losses import LOSSES, UNRATED, choose_loss
from acz.reference import derivatives
from acz.reference.execution import run
from acz.reference.samples import Case
from acz.zoo.catalog import config_names
from acz.zoo.config import load_config, load_spec
from tests.conftest import Answer
from tests.segment_cases import FOLDER, load, rated_shard

Acz = Callable[..., Answer]
RATED = [[(5, 1, 1.0), (0, 0, 0.0), (5, 0, 0.0)], [], [(10, 0, 1.0), (5, 1, 0.0), (5, 1, 1.0)]]
MODELS = ["attention_cluster", "attention_cluster_experts", "frame_average", "nextvlad"]
MODELS += [f"compact/{name}" for name in ("dbof", "ensemble", "light_vlad", "moments", "netfv", "netvlad", "soft_dbof")]
MODELS += [f"gated/{name}" for name in ("gated_dbof", "netfv", "netrvlad", "netvlad", "soft_dbow")]


def open_rated(path: Path, **settings: object) -> YouTube8M:
    return open_youtube8m(path, "test", Reading.model_validate({"segments": "rated", "classes": 4, **settings}))


def dequantised(split: YouTube8M, numbers: np.ndarray) -> np.ndarray:
    """The frames of some segments as the official reader gives them, (segments, frames, features)."""
    batch = split.take(numbers, split.input_names)
    frames = np.concatenate([batch.inputs[name] for name in split.input_names], axis=2).astype(np.float32)
    mask = batch.inputs[f"{split.input_names[0]}.mask"][..., None]
    return (frames * np.float32(4 / 255) + np.float32(4 / 512 - 2)) * mask


@pytest.mark.parametrize("name", ["edges", "real_dims"])
def test_rated_segments_are_those_of_the_official_reader(name: str) -> None:
    arrays, _ = load(f"15_segment_reader_{name}")
    split = open_youtube8m(FOLDER / f"15_segment_reader_{name}.tfrecord", "test", Reading(segments="rated"))
    wanted = [
        f"{video.decode()}:{start}"
        for video, start in zip(arrays["expected/video_ids"], arrays["expected/segment_start_times"], strict=True)
    ]
    numbers = np.arange(len(wanted))
    batch = split.take(numbers, split.input_names)
    assert (len(split), batch.ids, split.ids(numbers)) == (len(wanted), wanted, wanted)
    labels = np.full((len(wanted), 3862), UNRATED, np.float32)
    labels[arrays["expected/rated_segment"], arrays["expected/rated_class"]] = arrays["expected/rated_score"]
    np.testing.assert_array_equal(batch.labels, labels)
    np.testing.assert_allclose(dequantised(split, numbers), arrays["expected/video_matrix"], rtol=1e-6, atol=1e-6)


def test_a_segment_after_the_last_frame_that_is_read_is_refused(tmp_path: Path) -> None:
    shard = rated_shard(tmp_path / "validate00.tfrecord", [[(5, 1, 1.0)], [(296, 1, 1.0)]])
    with pytest.raises(DataError, match=r"record 1: video v1 has a segment from frame 296; 295 is the last"):
        open_rated(shard)
    kept = open_rated(shard, on_bad_record="skip")
    assert kept.ids(np.arange(len(kept))) == ["v0:5"]


def test_all_segments_are_the_pieces_of_the_official_inference() -> None:
    arrays, config = load("15_get_segments")
    edges, _ = load("15_segment_reader_edges")
    cut = [
        (video, start)
        for video, frames in enumerate(arrays["input/num_frames"])
        for start in range(0, frames, config["segment_size"])
    ]
    assert cut == list(map(tuple, arrays["expected/video_segment_ids"].tolist()))
    submitted, _ = load("15_submission_top20")
    split = open_youtube8m(FOLDER / "15_segment_reader_edges.tfrecord", "test", Reading(segments="all"))
    assert split.ids(np.arange(len(split))) == [name.decode() for name in submitted["input/segment_ids"]]
    whole = split.take(np.arange(3), split.input_names)
    assert whole.inputs["rgb.mask"].sum(axis=1).tolist() == [5, 5, 4], "a video of 14 frames"
    np.testing.assert_array_equal(dequantised(split, np.arange(3)), dequantised_of_edges(edges["expected/video_ids"]))


def dequantised_of_edges(ids: np.ndarray) -> np.ndarray:
    """The first three rated segments of the fixture: those of its first video."""
    assert ids[:3].tolist() == [b"aaaa"] * 3
    split = open_youtube8m(FOLDER / "15_segment_reader_edges.tfrecord", "test", Reading(segments="rated"))
    return dequantised(split, np.arange(3))


def test_a_wider_window_has_the_frames_around_a_segment(tmp_path: Path) -> None:
    split = open_rated(rated_shard(tmp_path / "a.tfrecord", RATED), segment_frames=9)
    batch = split.take(np.arange(len(split)), ["rgb"])
    frames = [rows[mask, 0].tolist() for rows, mask in zip(batch.inputs["rgb"], batch.inputs["rgb.mask"], strict=True)]
    assert batch.ids == ["v0:5", "v0:0", "v2:10", "v2:5"]
    assert frames == [list(range(4, 13)), list(range(1, 8)), list(range(9, 13)), list(range(4, 13))]
    assert batch.inputs["rgb"].shape == (4, 9, 6)


def test_an_epoch_has_every_segment_once_and_the_cache_changes_nothing(tmp_path: Path) -> None:
    shard = rated_shard(tmp_path / "shard.tfrecord", RATED)
    first, again = (open_rated(shard, sampling={"type": "strata", "frames": 50}) for _ in range(2))
    epochs = [
        [name for batch in split.epoch(3, 0, 2, 0, ["rgb"]) for name in batch.ids or ()] for split in (first, again)
    ]
    assert epochs[0] == epochs[1]
    assert sorted(epochs[0]) == ["v0:0", "v0:5", "v2:10", "v2:5"]
    last = first.take(np.array([3]), ["rgb"])
    assert last.labels.tolist() == [[UNRATED, 1.0, UNRATED, UNRATED]], "the later rating counts"


@pytest.mark.parametrize(
    ("ratings", "settings", "message"),
    [
        ([[], []], {}, "no segment is rated in these shards"),
        ([[(0, 7, 1.0)]], {}, "video v0 has the label 7; classes are 0 .. 3"),
        ([[(0, 1, -1.0)]], {}, "the rating -1.0; ratings are 0 or more"),
    ],
)
def test_ratings_that_cannot_be_used_are_refused(
    tmp_path: Path, ratings: list[list[tuple[int, int, float]]], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_rated(rated_shard(tmp_path / "a.tfrecord", ratings), **settings)


def test_losses_and_settings_that_do_not_fit_segments_are_refused(acz: Acz, tmp_path: Path) -> None:
    shard = rated_shard(tmp_path / "shard.tfrecord", RATED, rgb=1024, audio=128)
    spec = load_spec("youtube8m/frame_average:small", {"model.trunk.logits.units": 4})
    with pytest.raises(DataError, match=r"multilabel_softmax_cross_entropy does not take; .*sigmoid_cross_entropy"):
        open_rated(shard).require(spec, LOSSES["multilabel_softmax_cross_entropy"])
    with pytest.raises(DataError, match="--segments rated reads those that have"):
        open_rated(shard, segments="all").require(spec, LOSSES["sigmoid_cross_entropy"])
    answer = acz("train", "youtube8m/frame_average:small", "--data", shard, "--set", "data.reading.segment_frames=9")
    assert (answer.code, "segment_frames belongs to segments: rated or all" in answer.err) == (2, True)
    made = ("data", "youtube8m", "synthesize", "--videos", 2, "--classes", 4, "--frames", 4, 6)
    assert acz(*made, "--level", "video", "--out", tmp_path / "means").code == 0
    means = acz("infer", "--data", tmp_path / "means", "--out", tmp_path / "a.csv", "--format", "segments-csv")
    assert means.code != 0
    with pytest.raises(DataError, match="video-level shards have no segments"):
        open_youtube8m(tmp_path / "means", "train", Reading(classes=4, segments="all"))
    assert acz("data", "youtube8m", "convert", shard, "--out", tmp_path / "arrays", "--unlabelled").code == 0
    with pytest.raises(DataError, match="converted folders hold no ratings of segments"):
        open_youtube8m(tmp_path / "arrays", "test", Reading(segments="rated"))


def test_the_loss_with_weights_is_the_official_one() -> None:
    arrays, _ = load("15_weighted_cross_entropy")
    output, weights = arrays["input/predictions"].astype(np.float64), arrays["input/label_weights"]
    labels = np.where(weights > 0, arrays["input/labels"], UNRATED)
    loss = LOSSES["probability_cross_entropy"]
    assert loss.reference(output, output, labels) == pytest.approx(arrays["np64/loss"], rel=1e-12)
    np.testing.assert_allclose(loss.reference(output, output, labels), arrays["expected/loss"], rtol=1e-6)
    step = 1e-30j * np.eye(output.size).reshape(output.size, *output.shape)
    slopes = [loss.reference(output + one, output + one, labels).imag / 1e-30 for one in step]
    np.testing.assert_allclose(np.reshape(slopes, output.shape), arrays["grad/predictions"], rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_frames_learns_from_rated_pairs_alone(model: str, tmp_path: Path) -> None:
    config = load_config(f"youtube8m/{model}:tiny")
    spec, inputs = config.spec, config.spec.inputs
    shard = rated_shard(tmp_path / "shard.tfrecord", RATED, rgb=inputs["rgb"].features, audio=inputs["audio"].features)
    split = open_rated(shard, classes=spec.width)
    loss = choose_loss(config.recipe.loss, spec)
    split.require(spec, loss)
    batch = split.take(np.arange(4), list(inputs))
    parameters = Case(model, spec, loss.name).parameters
    whole = run(spec, parameters, batch.inputs)
    rated = [
        loss.reference(
            whole.logits[[row]][:, [label]], whole.output[[row]][:, [label]], batch.labels[[row]][:, [label]]
        )
        for row, label in np.argwhere(batch.labels >= 0)
    ]
    asked = spec, parameters, batch.inputs, batch.labels, loss.name
    value = derivatives.loss(*asked, training=False)
    assert float(value) == pytest.approx(float(np.sum(rated)) / 4, rel=1e-12)


def test_the_zoo_has_no_other_model_of_frames() -> None:
    names = {name.removeprefix("youtube8m/") for name in config_names() if name.startswith("youtube8m/")}
    assert {name for name in names if ":" not in name} - {"video_experts", "video_logistic"} == set(MODELS)


def test_synthesized_ratings_say_what_the_frames_show(acz: Acz, tmp_path: Path) -> None:
    made = ("data", "youtube8m", "synthesize", "--videos", 6, "--test", 2, "--classes", 5, "--frames", 12, 14)
    assert acz(*made, "--segments", "--out", tmp_path / "rated").code == 0
    assert acz(*made, "--out", tmp_path / "plain").code == 0
    assert json.loads((tmp_path / "rated/settings.json").read_text())["segments"] is True
    split = open_youtube8m(tmp_path / "rated", "train", Reading(segments="rated"))
    batch = split.take(np.arange(len(split)), ["rgb"])
    assert set(np.unique(batch.labels)) == {UNRATED, 0.0, 1.0}
    plain = open_youtube8m(tmp_path / "plain", "train", Reading())
    videos = open_youtube8m(tmp_path / "rated", "train", Reading())
    for ours, theirs in zip(videos.in_order(6, ["rgb"]), plain.in_order(6, ["rgb"]), strict=True):
        np.testing.assert_array_equal(ours.inputs["rgb"], theirs.inputs["rgb"])
        np.testing.assert_array_equal(ours.labels, theirs.labels)
    for row, name in enumerate(batch.ids or ()):
        video = int(name[1:8])
        positive = set(np.flatnonzero(batch.labels[row] > 0))
        assert positive <= set(np.flatnonzero(videos.take(np.array([video]), []).labels[0]))
    assert acz(*made, "--segments", "--level", "video", "--out", tmp_path / "other").code == 2
