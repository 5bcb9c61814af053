"""The page about runs: what it holds, what it says where something is missing, and the figures behind it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.api.runs import new_run
from acz.data.base import Description
from acz.data.folder import Split
from acz.data.youtube8m.settings import Reading
from acz.evaluation.scoring import evaluate, evaluate_by_class
from acz.model.checkpoint import load_checkpoint
from acz.reference import numpy_backend
from acz.studies.reports.confusion import by_digit, matrix, most_confused, most_missed
from acz.studies.reports.curves import Curve, chart, number, ticks
from acz.studies.reports.jobs import PredictArguments, SplitRequest, predict_videos
from acz.studies.reports.mistakes import mistakes
from acz.studies.reports.predictions import choose_backend, multiplications
from acz.studies.reports.run_comparison import largest_differences, read_runs, settings_that_differ
from acz.training.loop import train
from acz.zoo.config import load_config
from tests.conftest import TINY, Answer, write_features, write_several_labels
from tests.report_cases import SECTIONS, Page

HOSTILE = '<script>alert(1)</script>&"'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one experiment, on data that lie beside them."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_features(folder / "data")
    sets = {"train.epochs": 3, "train.batch_size": 16, "train.schedule.type": "constant"}
    train(
        new_run(
            load_config(TINY, {**sets, "train.optimizer.learning_rate": 0.05}), "numpy", "CPU", data, folder / "one", 1
        )
    )
    shutil.copytree(folder / "one", folder / HOSTILE.replace("/", ""))
    other = folder / HOSTILE.replace("/", "") / "metrics.jsonl"
    lines = [json.loads(line) for line in other.read_text().splitlines()]
    for line in lines:
        if line.get("epoch") == 2:
            line["loss"] += 0.125
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.slow  # trains several times
def test_one_page_about_two_runs(acz: Callable[..., Answer], runs: Path, tmp_path: Path) -> None:
    parity = tmp_path / "parity.csv"
    parity.write_text(
        "model,spec_hash,backend,level,check_level,check,precision,measured,bound,passed,waiver\n"
        f"{TINY},x,torch,1,outputs,a,float64,2e-16,1e-10,True,\n"
        f"{TINY},x,torch,1,outputs,b,float64,3e-13,1e-10,True,\n"
        f"{TINY},x,paddle,1,outputs,b,float64,1,1e-10,False,\n"
    )
    export = runs / "one/export"
    export.mkdir(exist_ok=True)
    (export / "model.onnx.report.json").write_text(
        json.dumps(
            {
                "format": "onnx",
                "passed": True,
                "size_bytes": 2**20,
                "checks": [
                    {"batch": "a", "measured": 1e-7, "bound": 2e-6},
                    {"batch": "b", "measured": 1e-9, "bound": 2e-6},
                ],
                "latency_ms": {"1": 0.25, "256": 8.5},
                "runtime": {"onnxruntime": "1.31.1"},
            }
        )
    )
    (export / "model.pt2.report.json").write_text("{half")
    out = tmp_path / "report.html"
    folders = sorted(path.parent for path in runs.glob("*/run.json"))[::-1]
    answer = acz("report", *folders, "--out", out, "--parity", parity, "--videos", 1, "--threads", 1, "--json")
    assert answer.code == 0, answer.err
    about = json.loads(answer.out)
    assert not about["missing"]
    assert {d["figure"]: d["value"] for d in about["largest_differences"]}["loss"] == pytest.approx(0.125)
    page = Page(out.read_text())
    assert {section["id"] for section in page.of("section")} == SECTIONS
    assert not page.of("script"), "names are text, never code"
    assert '<script>alert(1)<script>&"' in page.text
    addresses = [value for _, attributes in page.tags for key, value in attributes.items() if key in {"src", "href"}]
    assert all(str(value).startswith(("#", "data:")) for value in addresses)
    assert all(image["alt"] for image in page.of("img"))
    assert len(page.of("img")) == 1
    assert all(cell["scope"] for cell in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table"))
    for words in (
        "Largest difference between 2 runs of the same experiment: test loss 0.125",
        "3.0e-13 of 1.0e-10",
        "1.0e+00 of 1.0e-10 FAILED",
        "1.0e-07 of 2.0e-06",
        "damaged report",
        "Nothing differs",
        "predicted class",
    ):
        assert words in page.text
    assert "learning_rate: 0.05" in page.text


def test_what_is_missing_is_said_and_the_rest_is_made(
    acz: Callable[..., Answer], runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(runs / "one", tmp_path / "runs/moved")
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"data": str(tmp_path / "gone")}))
    (run / "metrics.jsonl").unlink()
    monkeypatch.chdir(tmp_path)
    answer = acz("report")
    assert answer.code == 0, answer.err
    assert "without moved: " in answer.out
    page = Page((run / "report.html").read_text())
    assert {section["id"] for section in page.of("section")} == SECTIONS
    for words in ("gone holds no finished data set", "No points yet", "0 of 3"):
        assert words in page.text
    assert acz("report", tmp_path).code == 2
    assert acz("report", run, "--parity", "none.csv").code == 2


def test_digits_that_are_missed_and_falsely_seen() -> None:
    labels = np.array([0b0000000011, 0b0000000100, 0b0000000001, 0])
    best = np.array([0b0000000001, 0b0000001000, 0b0000000001, 0b0000001000])
    digits = by_digit(labels, best)
    assert digits.recall[:3].tolist() == [1, 0, 0]
    assert digits.precision[0] == 1
    assert digits.precision[3] == 0
    assert np.isnan(digits.recall[9])
    assert np.isnan(digits.precision[9])
    assert digits.instead[2, 3] == digits.instead.sum() == 1
    assert digits.wrong.tolist()[:4] == [1, 2, 1, 0]


def test_confusions_of_classes() -> None:
    labels, best = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 1])
    assert matrix(labels, best, 3).tolist() == [[1, 1, 0], [0, 1, 0], [2, 1, 0]]
    assert most_confused(labels, best) == [(2, 0, 2), (0, 1, 1), (2, 1, 1)]
    assert most_confused(labels, best, 1) == [(2, 0, 2)]
    assert most_missed(np.array([1, 0, 3]), np.array([0, 0, 2])) == [2, 0]


def test_the_confusion_matrix_has_the_runs_own_accuracy(runs: Path) -> None:
    data, path = runs / "data", runs / "one/best.safetensors"
    request = SplitRequest(path, data, "test", Reading(), "CPU")
    _, predicted = predict_videos(numpy_backend, PredictArguments(request, 0, 64), {})  # type: ignore[arg-type]
    checkpoint = load_checkpoint(path)
    model = numpy_backend.build(checkpoint.spec, "CPU", "float32")
    numpy_backend.load_parameters(model, checkpoint.parameters)
    figures = evaluate(numpy_backend, model, checkpoint.spec, Split(data, "test"), None)  # type: ignore[arg-type]
    counts = matrix(predicted["labels"], predicted["best"], 6)
    assert counts.sum() == 64
    assert counts.trace() / 64 == figures["top1"]


def test_runs_are_compared_where_they_are_the_same_experiment(runs: Path) -> None:
    first, second = read_runs([runs / "one", runs / HOSTILE.replace("/", "")])
    assert first.experiment == second.experiment
    differences = {d.figure: (d.value, d.epoch) for d in largest_differences([first, second])}
    assert differences["loss"] == (pytest.approx(0.125), 2)
    assert differences["top1"][0] == 0
    assert largest_differences([first]) == []
    second.run["device"] = "GPU"
    assert settings_that_differ([first, second]) == [["device", "CPU", "GPU"]]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (4.02, 6.53), (-0.0072, 0.0034), (3, 3), (0, 0), (1e-9, 2e-9), (-5, 1e6)]
)
def test_ticks_are_round_and_enclose(low: float, high: float) -> None:
    values = ticks(low, high, 5)
    assert values[0] <= low + 1e-9 * abs(low)
    assert values[-1] >= high - 1e-9 * abs(high)
    assert 2 <= len(values) <= 9
    step = values[1] - values[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)
    assert len({number(value, step=step) for value in values}) == len(values)


def test_a_chart_leaves_out_what_is_not_finite() -> None:
    drawn = chart("loss & more", "epoch", [Curve("a<b", 0, [1, 2, 3], [1.0, math.nan, 3.0]), Curve("c", 9, [2], [2.0])])
    assert "nan" not in drawn.replace("ends at", "")
    assert 'aria-label="loss &amp; more: a&lt;b ends at 3.0000' in drawn
    assert drawn.count("<polyline") == drawn.count("<circle") == 1
    assert chart("loss", "epoch", []) == "<p>No points yet.</p>"


def test_numpy_is_taken_where_it_needs_seconds() -> None:
    spec = load_config("flash_mnist/attention_cluster_hidden").spec
    assert multiplications(spec) == 25 * (50 * 128 + 128 + 128 * 64 + 64 + 2 * 64 + 3200) + 3_277_824
    assert choose_backend(None, "torch", spec, 10_240) == "numpy"
    assert choose_backend(None, "torch", spec, 1_000_000) == "torch"
    assert choose_backend("paddle", "torch", spec, 10) == "paddle"


@pytest.fixture(scope="module")
def of_several_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on videos of several labels."""
    folder = tmp_path_factory.mktemp("several")
    data = write_several_labels(folder / "data")
    config = load_config(TINY, {"model.output": "sigmoid", "train.epochs": 2, "train.batch_size": 20})
    train(new_run(config, "numpy", "CPU", data, folder / "several", 1))
    return folder / "several"


def test_runs_of_several_labels_show_the_figures_of_youtube_8m(
    acz: Callable[..., Answer], runs: Path, of_several_labels: Path, tmp_path: Path
) -> None:
    names = tmp_path / "names.csv"
    names.write_text('Index,TrainVideoCount,Name\n0,9,"Game & <match>"\n2,7,Car\n', encoding="utf-8")
    out = tmp_path / "report.html"
    answer = acz("report", of_several_labels, "--out", out, "--labels", names, "--videos", 0, "--threads", 1)
    assert answer.code == 0, answer.err
    page = Page(out.read_text())
    charts = [label["aria-label"] or "" for label in page.of("svg") if "aria-label" in label]
    for name in ("test GAP", "test Hit@1", "test PERR", "test mAP"):
        assert sum(chart.startswith(f"{name}: several ends at") for chart in charts) == 1, name
    assert not any(chart.startswith("test top-1") for chart in charts), "that is Hit@1"
    for words in (
        "best GAP",
        "last PERR",
        "the 6 classes that it knows best, of 6 that have videos",
        "0 Game & <match>",
        "2 Car",
    ):
        assert words in page.text, words

    checkpoint = load_checkpoint(of_several_labels / "best.safetensors")
    model = numpy_backend.build(checkpoint.spec, "CPU", "float32")
    numpy_backend.load_parameters(model, checkpoint.parameters)
    split = Split(of_several_labels.parent / "data", "test")
    by_class = evaluate_by_class(numpy_backend, model, checkpoint.spec, split, None)[1]  # type: ignore[arg-type]
    assert by_class is not None
    best = int(by_class.argmax())
    row = f"{by_class[best] * 100:.2f} % {split.take(np.arange(40), []).labels[:, best].sum()}"
    assert row in page.text.replace("%", "% ").replace("  ", " "), row

    both = acz("report", of_several_labels, runs / "one", "--out", out, "--videos", 0, "--threads", 1)
    assert both.code == 0, both.err
    mixed = Page(out.read_text()).text
    assert "best GAP" in mixed
    assert "best top-1" in mixed
    alone = acz("report", runs / "one", "--out", out, "--videos", 0, "--threads", 1)
    assert alone.code == 0, alone.err
    assert "GAP" not in Page(out.read_text()).text


def test_classes_are_listed_from_both_ends(runs: Path) -> None:
    [run] = read_runs([runs / "one"])
    videos, precisions = np.r_[np.arange(1, 31), 0], np.r_[np.linspace(0, 1, 28), 0, 1, 0]
    counts = {name: np.zeros(31, np.int64) for name in ("right", "false", "missed")}
    arrays = {**counts, "videos": videos, "average_precision": precisions}
    text = Page(f"<div>{mistakes([(run, Description(), arrays)])}</div>").text
    best, _, worst = text.partition("knows worst")
    assert "the 10 classes that it knows best, of 30 that have videos" in best
    assert best.index("29100.00 %30") < best.index("27100.00 %28"), "of equals that of more videos"
    assert worst.index("280.00 %29") < worst.index("00.00 %1")
    none = {**arrays, "videos": np.zeros(31, np.int64)}
    assert "no video of the split has a label" in mistakes([(run, Description(), none)])


def test_proofs_of_a_run_from_this_machine_and_from_others_are_shown(
    acz: Callable[..., Answer], runs: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(runs / "one", tmp_path / "proved")
    assert acz("parity-check", run, "--backends", "numpy", "--videos", 4).code == 0
    proof = json.loads((run / "proof.json").read_text())
    (run / "proof-other.json").write_text(json.dumps(proof | {"weights": "0" * 64}))
    (run / "proof-half.json").write_text("{half")
    assert acz("report", run, "--videos", 0).code == 0
    text = Page((run / "report.html").read_text()).text
    assert "proved proof-half.json damaged".replace(" ", "") in text.replace(" ", "")
    assert "provedproof-other.jsonno" in text.replace(" ", "")
    assert "provedproof.jsonyes" in text.replace(" ", "")
