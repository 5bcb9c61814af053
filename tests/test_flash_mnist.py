"""Flash-MNIST: labels as sets or as digits, the rule without a model, and extractors that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acz.data.flash_mnist.build import Settings, rule_hits
from acz.data.flash_mnist.dataset import FlashMnistReading
from acz.data.flash_mnist.labels import as_zeros_and_ones
from acz.data.folder import write_manifest, write_shard
from acz.data.registry import open_split
from acz.foundation.errors import DataError
from acz.model.losses import choose_loss
from acz.model.parameters import initial_parameters
from acz.reference.derivatives import loss
from acz.reference.execution import forward
from acz.zoo.config import load_config
from tests.conftest import Answer

ONE_HOT = np.eye(11)
"""The features of a frame: here 1 at the class that an extractor reads."""


def test_the_rule_takes_every_digit_that_any_frame_is_read_as() -> None:
    read = lambda features: features.argmax(axis=1)  # noqa: E731
    frames = [[10, 3, 3, 0], [10, 10, 10, 10], [1, 2, 10, 1], [9, 10, 10, 10]]
    features = ONE_HOT[np.array(frames)]
    right = np.array([0b1001, 0, 0b110, 1 << 9])
    assert rule_hits(features, right, read) == 4
    assert rule_hits(features, right ^ np.array([1, 0, 0, 1 << 8]), read) == 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five videos whose labels are sets of digits."""
    labels = np.array([0, 1, 0b110, 1023, 512], np.int64)
    arrays = {"features": np.ones((5, 25, 50), np.float32), "labels": labels}
    splits = {split: [write_shard(tmp_path / "data", split, 0, arrays)] for split in ("train", "test")}
    write_manifest(tmp_path / "data", splits, {"what": "Flash-MNIST"})
    return tmp_path / "data"


def test_labels_are_read_as_one_set_or_as_several_digits(folder: Path) -> None:
    sets = open_split(folder, "train").take(np.array([2, 4]), ["features"])
    assert sets.labels.tolist() == [0b110, 512]
    digits = open_split(folder, "train", FlashMnistReading(labels="digits"))
    assert digits.take(np.array([2, 4, 3]), ["features"]).labels.tolist() == [
        [0, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [1] * 10,
    ]


def test_each_form_of_labels_fits_its_model_alone(folder: Path) -> None:
    for name in ("flash_mnist/attention_cluster_sets", "flash_mnist/attention_cluster_digits"):
        config = load_config(name)
        chosen = choose_loss(None, config.spec)
        open_split(folder, "train", config.reading).require(config.spec, chosen)
        other = FlashMnistReading(labels="sets" if name.endswith("digits") else "digits")
        with pytest.raises(DataError, match="labels must be integers"):
            open_split(folder, "train", other).require(config.spec, chosen)


def test_sets_by_softmax_are_the_same_function_as_ten_digits_by_sigmoids() -> None:
    """Equal parameters give an equal loss, and the probability of a set is the product of those of its digits."""
    sets, digits = (load_config(f"flash_mnist/attention_cluster_{name}").spec for name in ("sets", "digits"))
    features = np.random.default_rng(0).standard_normal((3, 25, 50))
    labels = np.array([0b1001, 0, 1023])
    parameters = initial_parameters(sets, 5, np.float64)
    of_digits = {path: parameters[path] for path in digits.parameters}
    one = loss(sets, parameters, {"features": features}, labels, "softmax_cross_entropy")
    several = as_zeros_and_ones(labels)
    ten = loss(digits, of_digits, {"features": features}, several, "sigmoid_cross_entropy")
    np.testing.assert_allclose(ten, one, rtol=1e-12)
    chance = forward(digits, of_digits, {"features": features})["output"]
    product = np.where(several == 1, chance, 1 - chance).prod(axis=1)
    whole = forward(sets, parameters, {"features": features})["output"]
    np.testing.assert_allclose(whole[np.arange(3), labels], product, rtol=1e-12)


def test_a_manifest_names_only_an_extractor_that_is_not_the_usual_one() -> None:
    assert "extractor_model" not in Settings("mnist").facts
    assert Settings("mnist", extractor_model="mine.yaml").facts["extractor_model"] == "mine.yaml"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--extractor", "flash_mnist/attention_cluster"],
            "is not a frame extractor: it has no layer 'frame.features'",
        ),
        (["--extractor", "absent.safetensors"], "there is no checkpoint absent.safetensors"),
        (["--extractor", "x.safetensors", "--epochs", "2"], "--epochs trains an extractor, and --extractor x.safet"),
        (["--extractor", "flash_mnist/extracto"], "is not a model or a file; did you mean 'flash_mnist/extractor'?"),
    ],
)
def test_an_extractor_that_cannot_be_used_is_refused(
    acz: Answer, tmp_path: Path, words: list[str], message: str
) -> None:
    answer = acz("data", "flash-mnist", "--out", tmp_path / "out", "--backend", "numpy", *words)
    assert answer.code == 2
    assert message in answer.err
    assert not (tmp_path / "out").exists()
