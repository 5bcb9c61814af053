"""Files of predictions: the official CSV to the byte, reading, averaging, scoring; and metrics of eval and train."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.api.runs import new_run, resumed_run
from acz.data.folder import Split
from acz.evaluation.ensemble import average, mean
from acz.evaluation.metrics import YouTube8MMetrics, top_classes
from acz.evaluation.predictions import HEADER, Part, csv_lines, join, write_part
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.checkpoint import load_checkpoint, save_checkpoint
from acz.model.parameters import initial_parameters
from acz.training.log import read_log
from acz.training.loop import train
from acz.training.run import load_resumable
from acz.zoo.config import load_config, load_spec
from tests.conftest import TINY, Answer, write_several_labels
from tests.prediction_cases import read, saved

FOLDER = Path(__file__).parent / "fixtures/metrics"
if "ACZ_CHECKPOINTS" in os.environ:
    FOLDER = Path(os.environ["ACZ_CHECKPOINTS"]) / "yt8m"
SIGMOID = {"model.output": "sigmoid"}
SPEC = load_spec(TINY, SIGMOID)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_several_labels(tmp_path / "several")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "m.safetensors", SPEC, initial_parameters(SPEC, 0, np.dtype(np.float32)))
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("predictions_top*.csv")), ids=lambda path: path.stem)
def test_the_csv_is_the_official_writer_s_to_the_byte(path: Path, tmp_path: Path) -> None:
    with np.load(FOLDER / "predictions.npz") as file:
        ids, scores = file["id"].tolist(), file["scores"]
    labels, best = top_classes(scores, int(path.stem.rpartition("top")[2]))
    parts = []
    for start in (0, 2):
        rows = slice(start, start + 2 if start == 0 else None)
        parts.append(tmp_path / f"{start}.csv")
        write_part(parts[-1], [Part(ids[rows], labels[rows], best[rows])])
    join(parts, tmp_path / "whole.csv", "csv")
    assert (tmp_path / "whole.csv").read_bytes() == path.read_bytes()
    part = read(tmp_path / "whole.csv")
    assert part.ids == ids
    np.testing.assert_array_equal(part.labels, labels)
    np.testing.assert_allclose(part.scores, best, rtol=1e-5)


def test_inference_writes_the_best_20_of_each_video_or_all_that_there_are(
    acz: Callable[..., Answer], model: Path, data: Path, tmp_path: Path
) -> None:
    words = ("infer", model, "--data", data, "--backend", "numpy", "--out")
    assert acz(*words, tmp_path / "p.csv").code == 0
    lines = (tmp_path / "p.csv").read_text().splitlines(keepends=True)
    assert lines[0] == HEADER
    assert len(lines) == 41
    assert all(len(line.split()) == 12 for line in lines[1:])
    assert acz(*words, tmp_path / "p", "--format", "youtube8m-csv", "--top-k", 2).code == 0
    assert (tmp_path / "p").read_text().splitlines()[1] == " ".join(lines[1].split()[:4])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_id_that_would_break_the_csv_is_refused() -> None:
    for name in ("a,b", "a\nb", 'a"b', "a\rb"):
        with pytest.raises(DataError, match="can't be written to a CSV file"):
            list(csv_lines(Part([name], np.array([[1]]), np.array([[0.5]]))))


def test_the_mean_counts_absent_labels_as_zero() -> None:
    first = Part(["x", "y"], np.array([[3, 1], [0, 2]]), np.array([[0.75, 0.5], [1.0, 0.5]], np.float32))
    second = Part(["x", "y"], np.array([[1, 2], [2, 0]]), np.array([[0.75, 0.25], [1.0, 0.5]], np.float32))
    averaged = mean([first, second], [1, 1])
    assert averaged.labels.tolist() == [[1, 3], [0, 2]], "of equal means the smaller label first"
    assert averaged.scores.tolist() == [[0.625, 0.375], [0.75, 0.75]]
    weighted = mean([first, second], [3, 1])
    assert weighted.labels.tolist() == [[1, 3], [0, 2]]
    assert weighted.scores.tolist() == [[0.5625, 0.5625], [0.875, 0.625]]
    assert averaged.scores.dtype == np.float32


def test_the_mean_of_one_model_with_itself_is_that_model(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    labels, scores = top_classes(source.random((9000, 30), dtype=np.float32), 20)
    files = [saved(tmp_path / f"{n}.npz", [f"v{i}" for i in range(9000)], labels, scores) for n in "ab"]
    assert average(files, tmp_path / "out.npz", "npz") == 9000
    with np.load(files[0]) as single, np.load(tmp_path / "out.npz") as averaged:
        assert all(np.array_equal(single[name], averaged[name]) for name in single.files)


def test_ensemble_the_command(acz: Callable[..., Answer], tmp_path: Path) -> None:
    first = saved(tmp_path / "a.npz", ["x", "y"], [[3, 1], [0, 2]], [[0.75, 0.5], [1, 0.5]])
    second = saved(tmp_path / "b.npz", ["x", "y"], [[1, 2], [2, 0]], [[0.75, 0.25], [1, 0.5]])
    assert acz("ensemble", first, second, "--weights", "3,1", "--out", tmp_path / "o.csv").code == 0
    assert (tmp_path / "o.csv").read_text() == HEADER + "x,1 0.5625 3 0.5625\ny,0 0.875 2 0.625\n"
    answer = acz("ensemble", first, tmp_path / "o.csv", "--out", tmp_path / "o.jsonl", "--top-k", 1, "--json")
    assert json.loads(answer.out)["examples"] == 2
    assert json.loads((tmp_path / "o.jsonl").read_text().splitlines()[1])["labels"] == [{"label": 0, "score": 0.9375}]
    before = sorted(tmp_path.iterdir())
    short = saved(tmp_path / "c.npz", ["x"], [[1, 2]], [[0.75, 0.25]])
    infinite = saved(tmp_path / "d.npz", ["x", "y"], [[1, 2], [2, 0]], [[np.inf, 0], [1, 0]])
    negative = saved(tmp_path / "e.npz", ["x", "y"], [[1, 2], [2, 0]], [[1, 0], [-np.inf, 0]])
    for message, words in {
        "{a} has the video 'y', {c} has not": (first, short),
        "{a} has the video 'y', {c} has not;": (short, first),
        "{d}: row 0: video 'x' has a score that is not finite: inf": (first, infinite),
        "{e}: row 1: video 'y' has a score that is not finite: -inf": (negative, first),
        "video 'x' has 3 labels in all files, fewer than --top-k 4": (first, second, "--top-k", 4),
        "2 positive numbers": (first, first, "--weights", "1"),
        "2 positive numbers with": (first, first, "--weights", "1,-1"),
        "--weights must be numbers": (first, first, "--weights", "1;2"),
        "there is no file": (tmp_path / "none.npz",),
    }.items():
        answer = acz("ensemble", *words, "--out", tmp_path / "x.npz")
        names = {name: tmp_path / f"{name}.npz" for name in "abcde"}
        assert answer.code == 2
        assert message.format(**names) in answer.err
    left = {tmp_path / f"{name}.npz" for name in "cde"}
    assert sorted({*tmp_path.iterdir()} - left) == before, "nothing is left after a failure"


def evaluated(acz: Callable[..., Answer], *words: object) -> dict[str, Any]:
    answer = acz("eval", *words, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_eval_gives_the_metrics_of_several_labels_whatever_the_batch_size(
    acz: Callable[..., Answer], model: Path, data: Path, tmp_path: Path
) -> None:
    words = (model, "--data", data, "--backend", "numpy")
    by_size = [evaluated(acz, *words, "--batch-size", size) for size in (1, 7, 512)]
    losses = [figures.pop("loss") for figures in by_size]
    assert by_size[0] == by_size[1] == by_size[2]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-12)
    assert by_size[0]["examples"] == 40
    assert len(by_size[0]["average_precision"]) == 6
    assert np.mean(by_size[0]["average_precision"]) == pytest.approx(by_size[0]["map"])
    answer = acz("eval", *words)
    assert "Hit@1" in answer.out
    assert f"GAP {by_size[0]['gap']:.4f}" in answer.out

    out = tmp_path / "p.npz"
    assert acz("infer", *words, "--out", out, "--top-k", 6).code == 0
    scored = evaluated(acz, "--predictions", out, "--labels", data)
    for name in ("hit_at_1", "perr", "map", "gap", "average_precision", "top1", "top5", "examples"):
        assert scored[name] == by_size[0][name], name
    with np.load(out) as file:
        metrics = YouTube8MMetrics(6)
        labels = Split(data, "test").take(np.arange(40), []).labels
        metrics.update_top(file["scores"], file["labels"], labels)
    assert metrics.result()["gap"] == scored["gap"]


def test_eval_of_a_file_goes_by_id(acz: Callable[..., Answer], data: Path, tmp_path: Path) -> None:
    labels, scores = top_classes(np.random.default_rng(1).random((40, 6), dtype=np.float32), 4)
    ids = [str(number) for number in range(40)]

    def scored(order: Array, *more: str) -> Answer:
        rows = [ids[n] for n in order]
        saved(
            tmp_path / "p.npz", [*rows, *more], *(np.concatenate([v[order], v[: len(more)]]) for v in (labels, scores))
        )
        return acz("eval", "--predictions", tmp_path / "p.npz", "--labels", data, "--json")

    straight, turned = scored(np.arange(40)), scored(np.arange(40)[::-1])
    assert straight.out == turned.out
    assert "top5" not in json.loads(straight.out), "four labels a video do not tell"
    assert "has no prediction for video '39'" in scored(np.arange(39)).err
    assert "predicts 1 videos that are not in the data set, such as 'stranger'" in scored(np.arange(40), "stranger").err
    (tmp_path / "p.csv").write_text(HEADER + "".join(f"{name},{'9 0.5' if name == '7' else '1 0.5'}\n" for name in ids))
    assert (
        "p.csv: video '7' has the label 9; the data set has"
        in acz("eval", "--predictions", tmp_path / "p.csv", "--labels", data).err
    )
    assert "need each other" in acz("eval", "--predictions", tmp_path / "p.csv").err
    both = acz("eval", "--predictions", tmp_path / "p.csv", "--labels", data, "--backend", "numpy")
    assert "leave out the model" in both.err


def test_eval_of_a_file_where_each_video_has_one_label(acz: Callable[..., Answer], tmp_path: Path) -> None:
    folder = write_several_labels(tmp_path / "one", one_class=True)
    truth = Split(folder, "test").take(np.arange(40), []).labels
    text = "".join(f"{n},{truth[n] if n % 4 else 9} 0.5\n" for n in range(40))
    (tmp_path / "p.csv").write_text(HEADER + text)
    figures = evaluated(acz, "--predictions", tmp_path / "p.csv", "--labels", folder)
    assert figures["top1"] == 0.75
    assert "gap" not in figures


def test_eval_of_a_file_has_as_many_classes_as_the_folder_says_or_is_told(
    acz: Callable[..., Answer], tmp_path: Path
) -> None:
    made = ("--videos", 5, "--validation", 5, "--frames", 4, 9, "--classes", 3, "--out", tmp_path / "made")
    assert acz("data", "youtube8m", "synthesize", *made).code == 0
    converted = ("--classes", 3, "--out", tmp_path / "converted")
    assert acz("data", "youtube8m", "convert", tmp_path / "made", *converted).code == 0
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "validate0000.tfrecord").write_bytes((tmp_path / "made/validate0000.tfrecord").read_bytes())
    path = tmp_path / "p.csv"
    path.write_text(HEADER + "".join(f"v{number:07d},1 0.75 0 0.5\n" for number in range(5)))

    def classes(*words: object) -> int:
        return len(evaluated(acz, "--predictions", path, "--labels", *words)["average_precision"])

    assert classes(tmp_path / "made") == classes(tmp_path / "made/validate*.tfrecord") == 3
    assert classes(tmp_path / "converted") == 3
    assert classes(tmp_path / "made", "--classes", 7) == 7
    assert (classes(bare), classes(bare, "--classes", 3)) == (3862, 3)
    answer = acz("eval", "--predictions", path, "--labels", write_several_labels(tmp_path / "several"), "--classes", 6)
    assert "is not YouTube-8M, which --classes is for" in answer.err
    assert "--classes needs both" in acz("eval", "--classes", 3).err


def test_a_model_of_several_labels_is_not_evaluated_on_single_ones(
    acz: Callable[..., Answer], model: Path, tmp_path: Path
) -> None:
    answer = acz("eval", model, "--data", write_several_labels(tmp_path / "one", one_class=True), "--backend", "numpy")
    assert answer.code == 2
    assert "labels must be" in answer.err


def test_training_keeps_the_epoch_with_the_best_gap(data: Path, tmp_path: Path) -> None:
    recipe = {"train.epochs": 5, "train.batch_size": 16, "train.optimizer.learning_rate": 0.5}
    run = new_run(load_config(TINY, {**SIGMOID, **recipe}), "numpy", "CPU", data, tmp_path / "run", 1)
    result = train(run)
    log = [line for line in read_log(tmp_path / "run/metrics.jsonl") if line["kind"] == "evaluation"]
    best = max(log, key=lambda line: line["gap"])
    assert best["gap"] < max(line["top1"] for line in log), "the two are not the same figure"
    assert (result.best_epoch, result.best, result.step) == (
        best["epoch"],
        {"top1": best["top1"], "gap": best["gap"]},
        10,
    )
    kept = load_checkpoint(tmp_path / "run/best.safetensors")
    assert kept.state == {"epoch": best["epoch"], "top1": best["top1"], "gap": best["gap"]}


def test_training_resumes_from_states_of_older_versions(data: Path, tmp_path: Path) -> None:
    recipe = {"train.epochs": 1, "train.batch_size": 16}
    train(new_run(load_config(TINY, {**SIGMOID, **recipe}), "numpy", "CPU", data, tmp_path / "run", 1))
    last = tmp_path / "run/last.safetensors"
    held = load_checkpoint(last)
    assert held.state["version"] == 2
    old = {key: value for key, value in held.state.items() if key not in ("version", "best")}
    save_checkpoint(last, held.spec, held.parameters, held.optimizer, {**old, "best_top1": 0.25})
    assert load_resumable(last, held.spec)[1].best == {"top1": 0.25}, "before GAP was kept"
    save_checkpoint(last, held.spec, held.parameters, held.optimizer, {**old, "best_top1": 0.25, "best_gap": -1.0})
    assert load_resumable(last, held.spec)[1].best == {"top1": 0.25}, "a model of one label"
    save_checkpoint(last, held.spec, held.parameters, held.optimizer, {**old, "best_top1": 0.25, "best_gap": 0.5})
    assert load_resumable(last, held.spec)[1].best == {"top1": 0.25, "gap": 0.5}
    assert train(resumed_run(tmp_path / "run")).epoch == 1
