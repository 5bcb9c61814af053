"""MAP@100,000 of rated segments, submissions as the official program writes them, and the commands that make them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.data.vocabulary import read_classes
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
from acz.evaluation.metrics.rated import RatedPairs, average_precisions, mean_of_classes
from acz.evaluation.submission import score_submission, write_submission
from acz.foundation.errors import DataError
from acz.model.losses import UNRATED
from acz.zoo.config import load_spec
from tests.conftest import Answer
from tests.segment_cases import FOLDER, load, rated_shard

Acz = Callable[..., Answer]
MAPS = ["all", "top3", "top100000", "numpos_top4_nofilter", "ties_all", "ties_top5"]
SUBMISSIONS = ["top20", "top4_max3", "ties_max4", "ties_top30"]


@pytest.mark.parametrize("name", MAPS)
def test_map_is_that_of_the_official_calculator(name: str) -> None:
    arrays, config = load(f"15_map_{name}")
    scores, hits = (
        np.concatenate([arrays[f"input/{kind}_{batch}"] for batch in range(config["batches"])], axis=1)
        for kind in ("pred", "label")
    )
    positives = None
    if config["num_positives_given"]:
        positives = sum(arrays[f"input/num_positives_{batch}"] for batch in range(config["batches"]))
    classes = np.repeat(np.arange(len(scores)), scores.shape[1])
    flat = scores.ravel(), classes, hits.ravel() > 1e-5, len(scores), config["top_n"], positives
    ours = average_precisions(*flat, ties="youtube-8m")
    expected = np.full(len(scores), np.nan)
    expected[arrays["expected/classes_counted"]] = arrays["expected/aps"]
    if not config["filter_empty_classes"]:
        ours = np.nan_to_num(ours)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
    assert mean_of_classes(ours) == pytest.approx(float(arrays["expected/map"]), abs=1e-9)
    if not config["ties"]:
        np.testing.assert_array_equal(average_precisions(*flat), average_precisions(*flat, ties="youtube-8m"))


def test_pairs_without_a_rating_do_not_count_and_batches_change_nothing() -> None:
    source = np.random.default_rng(4)
    scores = source.random((40, 6)).astype(np.float32)
    labels = source.choice(np.array([UNRATED, 0, 1], np.float32), (40, 6))
    whole = RatedPairs()
    whole.update(scores, labels, np.arange(40))
    parts = RatedPairs()
    for rows in (slice(17, 40), slice(0, 17)):
        parts.update(scores[rows], labels[rows], np.arange(40)[rows])
    changed = RatedPairs()
    changed.update(np.where(labels < 0, 1 - scores, scores), labels, np.arange(40))
    assert whole.result() == parts.result() == changed.result()
    precisions = []
    for label in range(6):
        rated = labels[:, label] >= 0
        order = np.argsort(-scores[rated, label])
        hits = labels[rated, label][order] > 0
        precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    assert whole.result() == pytest.approx(np.mean(precisions), rel=1e-12)
    with pytest.raises(DataError, match="the score of segment 7 is NaN"):
        whole.update(np.full((1, 6), np.nan), np.zeros((1, 6)), np.array([7]))


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submissions_have_the_official_bytes(name: str, tmp_path: Path) -> None:
    arrays, config = load(f"15_submission_{name}")
    only, scores = arrays["input/whitelist"], arrays["input/predictions"]
    ids = [segment.decode() for segment in arrays["input/segment_ids"]]
    order = only[np.argsort(-scores[:, only], axis=1, kind="stable")][:, : config["top_k"]]
    best = np.take_along_axis(scores, order, axis=1)
    parts = [(ids[rows], order[rows], best[rows]) for rows in (slice(0, 7), slice(7, None))]
    write_submission(parts, tmp_path / "submission.csv", config["segment_max_pred"])
    assert (tmp_path / "submission.csv").read_bytes() == (FOLDER / f"15_submission_{name}.csv").read_bytes()


def test_a_submission_scores_as_the_official_metric_means_it(tmp_path: Path) -> None:
    arrays, config = load("15_segment_eval")
    rated: dict[str, list[tuple[int, int, float]]] = {}
    triples = zip(arrays["input/rated_segment"], arrays["input/rated_class"], arrays["input/rated_score"], strict=True)
    for segment, label, score in triples:
        video, start = segment.decode().split(":")
        rated.setdefault(video, []).append((int(start), int(label), float(score)))
    names = sorted(rated)
    shard = rated_shard(tmp_path / "validate00.tfrecord", [rated[name] for name in names], frames=20)
    csv = bytes(arrays["input/submission_csv"]).decode()
    for number, name in enumerate(names):
        csv = csv.replace(f"{name}:", f"v{number}:") if name != f"v{number}" else csv
    (tmp_path / "submission.csv").write_text(f"Class,Segments\n{csv}")
    split = open_youtube8m(shard, "test", Reading(segments="rated"))
    figures, _ = score_submission(tmp_path / "submission.csv", split)
    assert figures["map_at_k"] == pytest.approx(float(arrays["np64/map_as_intended"]), abs=1e-9)
    assert config["classes"] == len(arrays["np64/aps_as_intended"])


def test_a_run_on_rated_segments_from_training_to_a_submission(acz: Acz, tmp_path: Path) -> None:
    source, inputs = np.random.default_rng(0), load_spec("youtube8m/frame_average:tiny").inputs
    widths = {name: entry.features or 0 for name, entry in inputs.items()}
    for split, videos in (("train", 12), ("validate", 6), ("test", 2)):
        ratings = [
            [(5 * int(source.integers(3)), int(source.integers(4)), float(source.integers(2))) for _ in range(6)]
            for _ in range(videos)
        ]
        rated_shard(tmp_path / f"s/{split}00.tfrecord", ratings, seed=videos, **widths)
    small = ("--set", "model.trunk.logits.units=4", "--set", "train.epochs=1", "--set", "train.batch_size=8")
    run = tmp_path / "run"
    words = ("--data", tmp_path / "s", "--segments", "rated", "--backend", "numpy", "--out", run)
    trained = acz("train", "youtube8m/frame_average:tiny", *small, *words)
    assert trained.code == 0, trained.err
    assert "MAP@100,000" in trained.out
    by_model = json.loads(acz("eval", run, "--json").out)
    assert 0 < by_model["map_at_k"] <= 1
    assert "gap" not in by_model

    reported = acz("report", run, "--videos", 0, "--out", tmp_path / "report.html")
    assert reported.code == 0, reported.err
    page = (tmp_path / "report.html").read_text()
    assert "MAP@100,000" in page
    split = open_youtube8m(tmp_path / "s", "test", Reading(segments="rated", classes=4))
    rated = split.take(np.arange(len(split)), []).labels
    counted = re.findall(r'<tr><th scope="row">(\d)</th><td[^>]*>[^<]*</td><td[^>]*>(\d+)</td></tr>', page)
    assert {int(label): int(videos) for label, videos in counted} == {
        label: int(videos) for label, videos in enumerate((rated > 0).sum(axis=0)) if videos
    }

    predicted = acz("infer", run, "--segments", "rated", "--out", tmp_path / "p.npz")
    assert predicted.code == 0, predicted.err
    scored = acz(
        "eval", "--predictions", tmp_path / "p.npz", "--labels", tmp_path / "s", "--segments", "rated", "--json"
    )
    assert json.loads(scored.out)["map_at_k"] == pytest.approx(by_model["map_at_k"], abs=1e-12)

    written = acz("infer", run, "--format", "segments-csv", "--out", tmp_path / "all.csv")
    assert written.code == 0, written.err
    own = acz("eval", "--predictions", tmp_path / "all.csv", "--labels", tmp_path / "s", "--json")
    assert json.loads(own.out)["map_at_k"] == pytest.approx(by_model["map_at_k"], abs=1e-12)

    (tmp_path / "ids.csv").write_text("Index\n2\n1\n")
    words = ("--data", tmp_path / "s/test00.tfrecord", "--only-classes", tmp_path / "ids.csv")
    assert acz("infer", run, *words, "--format", "segments-csv", "--out", tmp_path / "two.csv").code == 0
    header, *lines = (tmp_path / "two.csv").read_text().splitlines()
    assert (header, sorted(line.partition(",")[0] for line in lines)) == ("Class,Segments", ["1", "2"])
    assert all(len(line.split()) == 2 * 3 for line in lines), "two videos of 12 frames"


def test_files_of_classes_and_submissions_that_cannot_be_read_are_refused(acz: Acz, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("Index\n7\n\n3\r\n")
    assert read_classes(tmp_path / "ids.csv").tolist() == [3, 7]
    (tmp_path / "none.csv").write_text("Index\n")
    with pytest.raises(DataError, match="lists no class"):
        read_classes(tmp_path / "none.csv")
    shard = rated_shard(tmp_path / "validate00.tfrecord", [[(0, 1, 1.0)]])
    (tmp_path / "bad.csv").write_text("Class,Segments\none,v0:0\n")
    refused = acz("eval", "--predictions", tmp_path / "bad.csv", "--labels", shard)
    assert (refused.code, "line 2: it must be a class, a comma and segments" in refused.err) == (2, True)
    (tmp_path / "good.csv").write_text("Class,Segments\n1,v0:0 v0:5\n")
    scored = acz("eval", "--predictions", tmp_path / "good.csv", "--labels", shard)
    assert "MAP@100,000 1.0000" in scored.out, scored.err
