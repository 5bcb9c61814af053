"""One word, one meaning: names of classes, the split that evaluates, Hit@1, and the loss of several labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.evaluation.metrics.figures import in_words
from acz.model.losses import LOSSES
from tests.conftest import Answer

FOLDER = Path(__file__).parent / "fixtures/reports"
PLAIN = FOLDER / "plain"
Acz = Callable[..., Answer]


@pytest.fixture
def run(acz: Acz, tmp_path: Path) -> Path:
    words = ("train", FOLDER / "models/fa.yaml", "--backend", "numpy", "--data", PLAIN, "--out", tmp_path / "run")
    answer = acz(*words)
    assert answer.code == 0, answer.err
    assert "Hit@1 " in answer.err
    assert "top-1" not in answer.err
    return tmp_path / "run"


def test_top_1_of_several_labels_is_hit_at_1() -> None:
    one = {"top1": 0.5, "top5": 0.75, "loss": 1.0}
    assert in_words(one) == "top-1 0.5000  top-5 0.7500  loss 1.0000"
    several = one | {"hit_at_1": 0.5, "perr": 0.4, "map": 0.3, "gap": 0.2}
    assert in_words(several) == "Hit@1 0.5000  Hit@5 0.7500  PERR 0.4000  mAP 0.3000  GAP 0.2000  loss 1.0000"
    assert in_words({"top1": 0.5, "gap": 0.2}) == "Hit@1 0.5000  GAP 0.2000", "what a run keeps of its best epoch"


def test_the_split_has_the_name_of_its_shards(acz: Acz, run: Path, tmp_path: Path) -> None:
    assert ", validate: " in acz("eval", run).out
    assert json.loads(acz("eval", run, "--json").out)["split"] == "test", "the word that chose it"
    assert ", train: " in acz("eval", run, "--split", "train").out
    shutil.copytree(PLAIN, tmp_path / "shards")
    (tmp_path / "shards/validate00.tfrecord").rename(tmp_path / "shards/test00.tfrecord")
    assert ", test: " in acz("eval", run, "--data", tmp_path / "shards").out
    whole = FOLDER / "three_splits"
    assert acz("data", "youtube8m", "convert", whole, "--out", tmp_path / "made", "--classes", 5).code == 0
    assert ", validate: " in acz("eval", run, "--data", tmp_path / "made").out
    assert ", validate: " in acz("eval", run, "--data", FOLDER / "official_layout/frame").out
    answer = acz("report", run, "--out", tmp_path / "r.html", "--videos", 0, "--threads", 1)
    assert answer.code == 0, answer.err
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Predictions of the best checkpoints on the split validate," in page
    assert "training Hit@1 by step" in page
    assert "top-1" not in page


def test_names_of_classes_have_one_option_and_the_old_ones_still_work(acz: Acz, run: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nowl\nbee\nfox", encoding="utf-8")
    written = []
    for option in ("--class-names", "--labels"):
        out = tmp_path / f"p{option}.jsonl"
        assert acz("infer", run, "--out", out, option, names).code == 0
        written.append(out.read_text(encoding="utf-8"))
    assert written[0] == written[1]
    assert '"dog"' in written[0]
    shown = [
        acz("data", "youtube8m", "show", PLAIN, "--classes", 5, option, names).out
        for option in ("--class-names", "--vocabulary")
    ]
    assert shown[0] == shown[1]
    assert "dog" in shown[0]
    for words in (("infer",), ("report",), ("data", "youtube8m", "show")):
        text = acz(*words, "--help").out
        assert "--class-names" in text
        assert "--labels" not in text
        assert "--vocabulary" not in text


@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "probability_cross_entropy", "hinge"])
def test_a_loss_of_several_labels_is_a_sum_over_the_classes(name: str) -> None:
    """The same class twice counts twice."""
    logits, output, labels = np.array([[0.5, -1.0]]), np.array([[0.6, 0.3]]), np.array([[1, 0]])
    once = LOSSES[name].reference(logits, output, labels)
    twice = LOSSES[name].reference(*(np.tile(value, 2) for value in (logits, output, labels)))
    assert float(twice) == pytest.approx(2 * float(once))


def test_the_page_and_the_help_say_so(acz: Acz) -> None:
    page = (Path(__file__).parent.parent / "docs/metrics.md").read_text(encoding="utf-8")
    assert "are sums over the classes" in page
    text = " ".join(acz("eval", "--help").out.replace("│", " ").split())
    assert "a sum over the classes, and a mean over the videos" in text
