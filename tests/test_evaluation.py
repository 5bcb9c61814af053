"""Evaluation from the best classes alone, the reading of a checkpoint's videos, and memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.data.folder import Split, write_manifest, write_shard
from acz.evaluation.metrics import YouTube8MMetrics
from acz.evaluation.scoring import evaluate
from acz.foundation.errors import CheckFailed
from acz.parity.contract.samples import hostile_scores
from acz.reference import numpy_backend
from acz.training.log import read_log
from tests.conftest import Answer, write_several_labels
from tests.evaluation_cases import (
    SETS,
    EvaluateArguments,
    evaluate_job,
    model_of,
    not_finite_job,
    small_checkpoint,
)
from tests.youtube8m_cases import record, write

Acz = Callable[..., Answer]


def test_figures_are_those_of_whole_outputs(tmp_path: Path) -> None:
    value, _ = evaluate_job(numpy_backend, EvaluateArguments(write_several_labels(tmp_path / "data"), [1, 7, 512]), {})
    for figures in value.found:
        assert {name: figures[name] for name in value.wanted} == value.wanted
        assert figures["top1"] == figures["hit_at_1"]


def test_videos_of_more_labels_than_the_figures_keep(tmp_path: Path) -> None:
    """PERR asks for as many of the best classes as a video has labels."""
    source = np.random.default_rng(5)
    labels = np.zeros((30, 64), np.uint8)
    for video, count in enumerate(source.integers(0, 64, 30)):
        labels[video, source.permutation(64)[:count]] = 1
    features = source.standard_normal((30, 5, 4)).astype(np.float32)
    record = write_shard(tmp_path, "test", 0, {"features": features, "labels": labels})
    write_manifest(tmp_path, {"test": [record]}, {"what": "test"})
    model, spec = model_of(numpy_backend, **{"model.trunk.logits.units": 64})
    values = evaluate(numpy_backend, model, spec, Split(tmp_path, "test"), None, 8)  # type: ignore[arg-type]
    whole = YouTube8MMetrics(64)
    whole.update(numpy_backend.forward(model, {"features": features})["output"], labels)
    wanted = whole.result()
    assert {name: values[name] for name in ("hit_at_1", "perr", "map", "gap")} == {
        name: wanted[name] for name in ("hit_at_1", "perr", "map", "gap")
    }
    assert labels.sum(axis=1).max() > 40


def test_a_video_that_is_not_finite_is_named(tmp_path: Path) -> None:
    assert not_finite_job(numpy_backend, None, {})[0] == [True, False, True, False]
    data = write_several_labels(tmp_path / "data")
    model, spec = model_of(numpy_backend)
    model.parameters["trunk.logits.bias"][2] = np.inf
    with pytest.raises(CheckFailed, match="NaN or infinity on example 0 "):
        evaluate(numpy_backend, model, spec, Split(data, "test"), None)  # type: ignore[arg-type]


def test_the_hostile_cases_have_ties_at_the_edge() -> None:
    """Otherwise they would accept any selection."""
    tied = 0
    for _, scores, count in hostile_scores():
        ranked = -np.sort(-scores, axis=1)
        tied += count < scores.shape[1] and bool((ranked[:, count - 1] == ranked[:, count]).any())
    assert tied >= 7


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Ten videos of 1 .. 10 frames for each split, of three classes."""
    for split in ("train", "validate"):
        contents = [record(f"{split}{i}", [i % 3], 1 + i, seed=i) for i in range(10)]
        write(tmp_path / "yt8m" / f"{split}00.tfrecord", contents)
    return tmp_path / "yt8m"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return small_checkpoint(tmp_path / "bare.safetensors")


def figures(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    values: dict[str, Any] = json.loads(answer.out)
    return values


def test_a_bare_checkpoint_is_told_how_to_read_and_says_what_it_assumes(acz: Acz, bare: Path, shards: Path) -> None:
    words = ("eval", bare, "--data", shards, "--backend", "numpy", "--json")
    whole = acz(*words)
    assert whole.err.count("\n") == 1
    assert "all frames are taken, since the model's file does not say; --sampling" in whole.err
    explicit = acz(*words, "--sampling", "all", "--workers", "1")
    assert not explicit.err
    assert figures(whole) == figures(explicit)
    two = figures(acz(*words, "--sampling", "strata:2"))
    assert two["loss"] != figures(whole)["loss"]
    assert two == figures(acz(*words, "--sampling", "{type: strata, frames: 2}"))
    for wrong, problem in (
        ("strata", "type: strata needs frames"),
        ("strata:many", "must be a number, as in strata:100"),
        ("some:3", "--sampling: Input should be 'all', 'first'"),
    ):
        answer = acz(*words, "--sampling", wrong)
        assert (answer.code, problem in answer.err) == (2, True), answer.err


def test_a_run_is_evaluated_and_infers_as_it_was_trained(acz: Acz, shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = ("--set", "train.epochs=1", "--set", "train.batch_size=10", "--set", "train.loss=sigmoid_cross_entropy")
    words = ("youtube8m/frame_average", "--data", shards, *SETS, *recipe, "--sampling", "first:1")
    assert acz("train", *words, "--backend", "numpy", "--out", run).code == 0
    logged = next(line for line in read_log(run / "metrics.jsonl") if line["kind"] == "evaluation")
    own = acz("eval", run, "--backend", "numpy", "--json")
    assert not own.err
    values = figures(own)
    assert {name: values[name] for name in ("loss", "gap")} == {name: logged[name] for name in ("loss", "gap")}
    assert figures(acz("eval", run, "--backend", "numpy", "--json", "--sampling", "all"))["loss"] != logged["loss"]
    assert (
        "sampling can't change when a run is resumed" in acz("train", "--resume", "--out", run, "--sampling", "all").err
    )
    outs = {}
    for name, more in {"own": (), "same": ("--sampling", "first:1"), "other": ("--sampling", "all")}.items():
        out = tmp_path / f"{name}.csv"
        assert acz("infer", run, "--backend", "numpy", "--out", out, *more).code == 0
        outs[name] = out.read_text()
    assert outs["own"] == outs["same"] != outs["other"]


def test_bad_records_and_checksums_in_evaluation(acz: Acz, bare: Path, shards: Path) -> None:
    path = shards / "validate00.tfrecord"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    words = ("eval", bare, "--data", shards, "--backend", "numpy", "--sampling", "all", "--json")
    assert figures(acz(*words, "--verify", "none"))["examples"] == 10
    failed = acz(*words, "--verify", "all")
    assert (failed.code, "record 9" in failed.err) == (2, True)
    assert figures(acz(*words, "--verify", "all", "--on-bad-record", "skip"))["examples"] == 9
    assert "--verify: Input should be" in acz(*words, "--verify", "some").err


def test_other_data_sets_have_no_such_settings(acz: Acz, bare: Path, features: Path) -> None:
    for command in (("eval", bare), ("infer", bare), ("train", "flash_mnist/attention_cluster:tiny")):
        answer = acz(*command, "--data", features, "--backend", "numpy", "--workers", 2)
        assert (answer.code, "not YouTube-8M, which --workers is for" in answer.err) == (2, True)


def test_an_interrupted_inference_does_not_go_on_with_other_frames(acz: Acz, bare: Path, shards: Path) -> None:
    out = shards / "p.csv"
    words = ("infer", bare, "--data", shards, "--backend", "numpy", "--out", out)
    assert acz(*words, "--sampling", "first:1").code == 0
    whole = out.read_text()
    work = shards / ".p.csv.part"
    work.mkdir()
    settings = {"model": "another"}
    (work / "settings.json").write_text(json.dumps(settings))
    assert "reading" in acz(*words, "--sampling", "all").err
    assert out.read_text() == whole
