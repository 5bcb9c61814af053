"""The line at the start of training on a batch that is cut, videos that no step sees, and a model that is too large."""

from __future__ import annotations

from pathlib import Path

import pytest

from acz.api.runs import new_run
from acz.foundation.progress import Progress
from acz.training.loop import train
from acz.training.remarks import remark
from acz.zoo.config import load_config
from tests.conftest import TINY, write_features
from tests.youtube8m_cases import write_shards

CUT = "train.batch_size is cut from 100 to 64, the number of videos, so an epoch is one step"
LEFT = "each epoch leaves out 4 of 64 videos, which fill no batch of 20"


class Lines(Progress):
    """Keeps the lines that a user sees."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(("batch_size", "words"), [(64, ""), (16, ""), (100, CUT), (20, LEFT)])
def test_a_batch_and_the_videos_it_leaves_out(features: Path, tmp_path: Path, batch_size: int, words: str) -> None:
    config = load_config(TINY, {"train.batch_size": batch_size, "train.epochs": 1})
    run, shown = new_run(config, "numpy", "CPU", features, tmp_path / "run", 1), Lines()
    train(run, shown)
    assert [line for line in shown.lines if line.startswith(f"{features}: ")] == (
        [f"{features}: {words}"] if words else []
    )
    assert run.state.step * run.batch_size == 64 - (4 if words == LEFT else 0)


@pytest.mark.parametrize(("units", "far"), [(9, False), (16, True)])
def test_parameters_for_each_video(tmp_path: Path, units: int, far: bool) -> None:
    """A dense layer of 4 x units features to 1,000 classes; 50 videos take 50,000 parameters."""
    attention = "model.streams.features.layers.attention.units"
    config = load_config(TINY, {attention: units, "model.trunk.logits.units": 1000, "train.batch_size": 25})
    parameters = config.spec.parameter_count
    assert (parameters > 50_000) == far
    data = write_features(tmp_path / "data", videos=50)
    text = remark(new_run(config, "numpy", "CPU", data, tmp_path / "run", 1))
    assert text == (f"{data}: {parameters:,} parameters are far too many for 50 videos" if far else None)


def test_a_large_model_names_its_small_variant_and_everything_is_one_line(tmp_path: Path) -> None:
    write_shards(tmp_path / "yt8m", [3])
    write_shards(tmp_path / "yt8m", [2], split="validate")
    config = load_config("youtube8m/frame_average")
    text = remark(new_run(config, "numpy", "CPU", tmp_path / "yt8m", tmp_path / "run", 1))
    assert text == (
        f"{tmp_path / 'yt8m'}: train.batch_size is cut from 1,024 to 3, the number of videos, so an epoch is one step; "
        "4,452,886 parameters are far too many for 3 videos (youtube8m/frame_average:small has fewer)"
    )
    small = {"model.trunk.logits.units": 3862, "data.reading.classes": 3862}
    run = new_run(
        load_config("youtube8m/frame_average:small", small),
        "numpy",
        "CPU",
        tmp_path / "yt8m",
        tmp_path / "other",
        1,
    )
    assert ":small has fewer" not in str(remark(run))
