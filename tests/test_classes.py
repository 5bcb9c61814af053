"""The number of classes: the data set's, else the model's, in every command that reads YouTube-8M."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acz.api.runs import new_run
from acz.data.base import enough_outputs
from acz.data.registry import open_split
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import Reading
from acz.evaluation.predictions import Part, join, write_part
from acz.foundation.errors import DataError, SpecError
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.training.run_folder import BEST, write_run
from acz.zoo.config import Config, load_config
from tests.conftest import Answer
from tests.youtube8m_cases import write_shards

Acz = Callable[..., Answer]
UNITS = "model.trunk.logits.units"


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic shards of 30 classes."""
    from acz import Progress, synthesize_youtube8m

    folder = tmp_path_factory.mktemp("data") / "thirty"
    synthesize_youtube8m(folder, 12, validation=8, frames=(4, 9), classes=30, progress=Progress())
    return folder


@pytest.fixture(scope="module")
def converted(thirty: Path) -> Path:
    """The same videos as arrays."""
    from acz import Progress, convert_youtube8m

    convert_youtube8m([thirty], thirty.parent / "arrays", progress=Progress())
    return thirty.parent / "arrays"


def average(outputs: int, **changes: object) -> Config:
    """A frame average with this number of outputs, whose configuration does not say `classes`."""
    return load_config("youtube8m/frame_average", {UNITS: outputs, **changes})


def a_run(folder: Path, config: Config, data: Path) -> Path:
    """The folder of a run that was begun and has the starting values as its best checkpoint."""
    run = new_run(config, "numpy", "CPU", data, folder, 1)
    write_run(run)
    save_checkpoint(folder / BEST, config.spec, initial_parameters(config.spec, 0, np.dtype(np.float32)))
    return folder


def test_without_a_model_the_data_set_says_how_many_classes_it_has(acz: Acz, thirty: Path, converted: Path) -> None:
    assert json.loads((converted / "manifest.json").read_text())["made"]["reading"]["classes"] == 30
    for location in (thirty, converted, thirty / "validate*.tfrecord", [*thirty.glob("*.tfrecord")]):
        [batch] = open_youtube8m(location, "test").in_order(8, ["rgb"])
        assert batch.labels.shape == (8, 30)
    [batch] = open_split(thirty, "test", Reading(classes=40)).in_order(8, ["rgb"])
    assert batch.labels.shape == (8, 40), "what is given counts"
    for command in ("show", "verify"):
        answer = acz("data", "youtube8m", command, thirty)
        assert answer.code == 0
        assert "labels are read as 0 .. 29, as their folder says" in answer.err


def test_data_that_do_not_say_have_the_official_classes(acz: Acz, tmp_path: Path) -> None:
    write_shards(tmp_path / "in", [2])
    answer = acz("data", "youtube8m", "convert", tmp_path / "in", "--out", tmp_path / "out")
    assert "labels are read as 0 .. 3861, as the official ones; --classes takes another number" in answer.err
    assert np.load(tmp_path / "out/train/00000.labels.npy").shape == (2, 3862)
    given = acz("data", "youtube8m", "convert", tmp_path / "in", "--classes", 4000, "--out", tmp_path / "more")
    assert "labels are read" not in given.err
    assert np.load(tmp_path / "more/train/00000.labels.npy").shape == (2, 4000)


@pytest.mark.parametrize("kind", ["shards", "arrays"])
def test_a_model_reads_labels_of_its_own_width(
    kind: str, thirty: Path, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = thirty if kind == "shards" else converted
    for outputs, said in (
        (30, ""),
        (500, f"{data}: labels are 0 .. 29; the model has 500 outputs, and no video shows the others"),
    ):
        run = new_run(average(outputs), "numpy", "CPU", data, tmp_path / str(outputs), 1)
        assert run.train.take(np.arange(2), ["rgb"]).labels.shape == (2, outputs)
        printed = capsys.readouterr().err
        assert said in printed if said else "labels" not in printed
    words = {
        "shards": f"labels are 0 .. 29, the model has 20 outputs; --set {UNITS}=30 gives it 30",
        "arrays": "with 30 classes, and 20 are wanted; a model that reads it has 30 outputs or more",
    }[kind]
    with pytest.raises(DataError, match=words):
        new_run(average(20), "numpy", "CPU", data, tmp_path / "few", 1)


def test_data_that_do_not_say_have_the_models_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "validate"):
        write_shards(tmp_path / "in", [2], split=split)
    run = new_run(average(4000), "numpy", "CPU", tmp_path / "in", tmp_path / "run", 1)
    assert run.train.take(np.arange(2), ["rgb"]).labels.shape == (2, 4000)
    words = f"{tmp_path / 'in'} does not say how many classes it has; the model has 4,000, labels 0 .. 3999"
    assert words in capsys.readouterr().err


def test_a_number_that_a_configuration_gives_must_be_the_models(thirty: Path, tmp_path: Path) -> None:
    config = average(30, **{"data.folder": str(thirty), "data.reading.classes": 40})
    with pytest.raises(
        DataError, match=r"labels have 40 classes, the model has 30; leave out data.reading.classes, or"
    ):
        new_run(config, "numpy", "CPU", thirty, tmp_path / "run", 1)


def test_the_option_for_more_outputs_names_the_layer_that_has_them() -> None:
    experts = load_config("youtube8m/attention_cluster_experts:tiny").spec
    assert enough_outputs(experts, 7) == "--set model.trunk.experts.classes=7 gives it 7"
    with pytest.raises(SpecError, match="experts"):
        load_config("youtube8m/attention_cluster_experts:tiny", {"model.trunk.experts.units": 7})
    assert load_config("youtube8m/attention_cluster_experts:tiny", {"model.trunk.experts.classes": 7}).spec.width == 7


def test_a_fine_tuned_or_smaller_model_needs_no_second_setting(thirty: Path, tmp_path: Path) -> None:
    """The zoo's small variants have 500 outputs; no `classes` stands beside them."""
    changes = {UNITS: 30, "model.trunk.hidden1.units": 4, "model.trunk.hidden2.units": 4}
    small = load_config("youtube8m/attention_cluster:small", changes)
    assert small.fitted_reading == small.reading.model_copy(update={"classes": 30})
    assert len(new_run(small, "numpy", "CPU", thirty, tmp_path / "run", 1).train) == 12


def test_predictions_bring_their_classes(acz: Acz, thirty: Path, tmp_path: Path) -> None:
    split = open_youtube8m(thirty, "test")
    ids, source = split.ids(np.arange(8)), np.random.default_rng(0)
    labels = np.stack([source.permutation(30)[:5] for _ in ids])
    labels[3, 4] = 378
    scores = -np.sort(-source.random((8, 5)).astype(np.float32))
    write_part(tmp_path / "part.npz", [Part(ids, labels, scores)])
    file = tmp_path / "clusters.npz"
    join([tmp_path / "part.npz"], file, "npz")
    words = ("eval", "--predictions", file, "--labels", thirty, "--json")
    read = acz(*words)
    assert read.code == 0, read.err
    assert f"379 classes count, for {file} names class 378; --classes takes another number" in read.err
    given = json.loads(acz(*words, "--classes", 500).out)
    figures = json.loads(read.out)
    assert len(figures["average_precision"]) == 379
    assert [figures[name] for name in ("gap", "hit_at_1", "perr")] == [
        given[name] for name in ("gap", "hit_at_1", "perr")
    ]
    assert figures["map"] * 379 == pytest.approx(given["map"] * 500)
    refused = acz(*words, "--classes", 30)
    assert refused.code == 2
    assert "has the label 378; the data set has the classes 0 .. 29" in refused.err


@pytest.mark.slow  # needs Matplotlib, which the environment of the quick part is without
def test_a_video_is_shown_as_its_run_reads_it(acz: Acz, thirty: Path, tmp_path: Path) -> None:
    sampling = {"data.reading.sampling": {"type": "strata", "frames": 3}}
    config = load_config("youtube8m/attention_cluster", {UNITS: 30, "model.trunk.hidden1.units": 4, **sampling})
    run = a_run(tmp_path / "run", config, thirty)
    alone = shutil.copy(run / BEST, tmp_path / "alone.safetensors")
    pictures = {}
    for name, words in {
        "run": ("--run", run),
        "sampled": ("--run", alone, "--sampling", "strata:3"),
        "whole": ("--run", alone),
    }.items():
        answer = acz("data", "show", thirty, *words, "--out", tmp_path / f"{name}.png")
        assert answer.code == 0, answer.err
        pictures[name] = (tmp_path / f"{name}.png").read_bytes()
    assert pictures["run"] == pictures["sampled"]
    assert pictures["run"] != pictures["whole"]
