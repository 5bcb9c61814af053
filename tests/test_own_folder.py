"""The format for anybody's features: names, videos without labels, and splits of any name, in every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.api.runs import new_run
from acz.data.folder import FEATURES, Split, verify, write_manifest, write_shard
from acz.data.registry import open_split, open_training
from acz.foundation.errors import DataError
from acz.model.checkpoint import save_checkpoint
from acz.model.losses import find_loss
from acz.model.parameters import initial_parameters
from acz.zoo.config import load_config, load_spec
from tests.conftest import TINY, Answer

NAMES = ["a", "zoo", "Pok\u00e9mon"]
SPEC = load_spec(TINY)
X = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)


def unlabelled(folder: Path, *splits: str) -> Path:
    """A folder of three videos with names and without labels, in two shards of each split."""
    records = {
        split: [
            write_shard(folder, split, number, {"features": X[part], "id": NAMES[part]})
            for number, part in enumerate((slice(0, 2), slice(2, 3)))
        ]
        for split in splits
    }
    write_manifest(folder, records, {"what": "mine"})
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "m.safetensors", SPEC, initial_parameters(SPEC, 0, np.dtype(np.float32)))
    return tmp_path / "m.safetensors"


def test_videos_without_labels_are_inferred_on(acz: Callable[..., Answer], model: Path, tmp_path: Path) -> None:
    data = unlabelled(tmp_path / "d", "test")
    words = (model, "--data", data, "--backend", "numpy")
    answer = acz("infer", *words, "--out", tmp_path / "p.jsonl")
    assert answer.code == 0, answer.err
    assert [json.loads(line)["id"] for line in (tmp_path / "p.jsonl").read_text("utf-8").splitlines()] == NAMES
    message = f"{data}/test has no labels"
    assert message in acz("eval", *words).err
    assert acz("eval", *words).code == 2
    assert message in acz("eval", "--predictions", tmp_path / "p.jsonl", "--labels", data).err
    assert "video 0 of test, none" in acz("data", "show", data, "--out", tmp_path / "s.png").out
    assert verify(data) == 3


def test_a_model_is_not_trained_or_scored_without_labels(model: Path, tmp_path: Path) -> None:
    data = unlabelled(tmp_path / "d", "train", "test")
    split = Split(data, "train")
    split.require(SPEC)
    with pytest.raises(DataError, match="d/train has no labels to train or evaluate with; 'acz infer' needs none"):
        new_run(load_config(TINY), "numpy", "CPU", data, tmp_path / "run", 1)
    examples = split.take(np.array([2, 0]), ["features"])
    assert examples.labels.shape == (2, 0)
    np.testing.assert_array_equal(examples.inputs["features"], X[[2, 0]])


def test_names_are_texts_bytes_or_numbers(tmp_path: Path) -> None:
    forms = {"texts": np.array(NAMES), "bytes": [name.encode() for name in NAMES], "numbers": np.array([7, 0, 12])}
    for form, names in forms.items():
        record = write_shard(tmp_path / form, "train", 0, {"features": X, "labels": np.arange(3), "id": names})
        write_manifest(tmp_path / form, {"train": [record]}, {})
        split = open_split(tmp_path / form, "train")
        assert split.ids(np.array([2, 1])) == (["12", "0"] if form == "numbers" else ["Pok\u00e9mon", "zoo"])
        assert list(split.input_names) == ["features"]
    for wrong in (np.zeros(3), [None, "a", "b"], [1.5, 2, 3]):
        with pytest.raises(DataError, match=r"must be names|the name of a video must be a text"):
            write_shard(tmp_path / "wrong", "train", 0, {"features": X, "id": wrong})
    with pytest.raises(DataError, match=r"must have the same videos, got 'features' 3, 'labels' 2"):
        write_shard(tmp_path / "wrong", "train", 0, {"features": X, "labels": np.arange(2)})
    assert not (tmp_path / "wrong").exists()


def test_names_that_are_no_texts_are_damaged(tmp_path: Path) -> None:
    data = unlabelled(tmp_path / "d", "test")
    path = data / "test/00001.id.npy"
    content = bytearray(path.read_bytes())
    content[-2] = 0xFF  # a number beyond the last character
    path.write_bytes(content)
    split = Split(data, "test")
    assert split.ids(np.array([0])) == NAMES[:1]
    with pytest.raises(DataError, match=r"d/test: the names of videos are damaged"):
        split.ids(np.array([2]))
    with pytest.raises(DataError, match=r"00001\.id\.npy: its content is not what was written"):
        verify(data)


def test_a_folder_without_inputs_or_with_other_names_is_refused(tmp_path: Path) -> None:
    record = write_shard(tmp_path / "a", "train", 0, {"labels": np.arange(3)})
    write_manifest(tmp_path / "a", {"train": [record]}, {})
    with pytest.raises(DataError, match="a/train: no shards with inputs"):
        Split(tmp_path / "a", "train")
    record = write_shard(tmp_path / "b", "train", 0, {"features": X, "labels": np.arange(3)})
    other = write_shard(tmp_path / "b", "train", 1, {"features": X})
    write_manifest(tmp_path / "b", {"train": [record, other]}, {})
    with pytest.raises(DataError, match="b/train: shard 1 holds"):
        Split(tmp_path / "b", "train")


@pytest.mark.parametrize(
    ("splits", "evaluated", "test"),
    [
        (("train", "test"), "test", "test"),
        (("train", "validation"), "validation", "validation"),
        (("train", "validate"), "validate", "validate"),
        (("train", "validation", "test"), "validation", "test"),
    ],
)
def test_training_evaluates_on_validation_and_test_is_kept_apart(
    splits: tuple[str, ...], evaluated: str, test: str, tmp_path: Path
) -> None:
    records = {
        split: [write_shard(tmp_path, split, 0, {"features": X + number, "labels": np.arange(3) % 2})]
        for number, split in enumerate(splits)
    }
    write_manifest(tmp_path, records, {"classes": 2})
    assert [part.name for part in open_training(tmp_path)] == ["train", evaluated]
    opened = open_split(tmp_path, "test")
    assert opened.name == test
    np.testing.assert_array_equal(opened.take(np.arange(3), ["features"]).inputs["features"], X + splits.index(test))
    assert FEATURES.describe(tmp_path).classes == 2
    with pytest.raises(DataError, match="has no split 'trian'; did you mean 'train'"):
        open_split(tmp_path, "trian")


def test_counts_are_not_taken_for_labels(model: Path, tmp_path: Path) -> None:
    """Numbers above 1 would weigh a loss, and 256 would become 0 in a byte."""
    records = [
        write_shard(tmp_path, "test", 0, {"features": X, "labels": np.array([[0, 1, 0], [1, 0, 256], [0, 0, 0]])})
    ]
    write_manifest(tmp_path, {"test": records}, {})
    with pytest.raises(DataError, match=r"labels \(videos, classes\) must be zeros and ones, got 256"):
        Split(tmp_path, "test").require(SPEC, find_loss("sigmoid_cross_entropy"))
