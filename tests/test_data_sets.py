"""The registry of data sets: each location has one, a configuration names its data set, and each describes itself."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from acz.api.reading import choose_reading
from acz.data import registry
from acz.data.base import Description, NoReading
from acz.data.flash_mnist.videos import LABELS
from acz.data.folder import FEATURES, Features, write_manifest, write_shard
from acz.data.registry import fingerprint, open_split, reading_from_dict, reading_to_dict, recognise
from acz.data.youtube8m.settings import Reading, Sampling
from acz.foundation.errors import DataError, SpecError
from acz.zoo.config import load_config
from tests.conftest import TINY, write_features
from tests.youtube8m_cases import write_shards


def folder_of(folder: Path, origin: str, labels: np.ndarray) -> Path:
    """A folder with a manifest that says where its features come from."""
    arrays = {"features": np.ones((len(labels), 5, 4), np.float32), "labels": labels}
    splits = {split: [write_shard(folder, split, 0, arrays)] for split in ("train", "test")}
    write_manifest(folder, splits, {"what": origin})
    return folder


@pytest.fixture
def locations(tmp_path: Path) -> dict[str, list[Path | str | list[Path]]]:
    """Locations by the name of their data set."""
    shards = write_shards(tmp_path / "shards", [3])
    single = np.arange(4)
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles/feature_test.pkl").write_bytes(b"")
    return {
        "youtube8m": [
            shards,
            str(shards / "*.tfrecord"),
            [shards / "train00.tfrecord"],
            folder_of(tmp_path / "converted", "youtube-8m", single),
            str(tmp_path / "nothing*"),
        ],
        "flash_mnist": [
            folder_of(tmp_path / "flash", "Flash-MNIST", single),
            tmp_path / "pickles",
            tmp_path / "pickles/feature_test.pkl",
        ],
        "features": [
            write_features(tmp_path / "features"),
            folder_of(tmp_path / "noisy", "noisy frames for the extractor", single),
            tmp_path / "nowhere",
        ],
    }


def test_every_location_has_one_data_set(locations: dict[str, list[Path]]) -> None:
    for name, places in locations.items():
        for place in places:
            assert recognise(place).name == name, place


def test_a_data_set_says_its_classes_and_writes_labels_for_a_reader(
    locations: dict[str, list[Path]], tmp_path: Path
) -> None:
    flash = recognise(locations["flash_mnist"][0]).describe(locations["flash_mnist"][0])
    assert (flash.classes, flash.in_words(0b101), len(flash.symbols)) == (LABELS, "{0, 2}", 10)
    assert flash.in_words(np.array([0, 1, 1])) == "1, 2"
    assert flash.open_frames is not None
    assert recognise(locations["flash_mnist"][1]).describe(locations["flash_mnist"][1]) == Description()
    several = folder_of(tmp_path / "several", "mine", np.zeros((4, 7), np.uint8))
    assert recognise(several).describe(several).classes == 7
    single = recognise(locations["features"][0]).describe(locations["features"][0])
    assert (single.classes, single.in_words(5), single.open_frames) == (None, "class 5", None)


@pytest.mark.parametrize("name", ["flash_mnist", "features", "youtube8m"])
@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_batches_that_one_process_reads(
    locations: dict[str, list[Path]], name: str, world: int
) -> None:
    whole = open_split(locations[name][0], "train")
    names, size = list(whole.input_names), max(world, len(whole) - 1)
    parts = [open_split(locations[name][0], "train", None, rank, world) for rank in range(world)]
    for rows in (1, 2):
        alone = [batch.numbers.tolist() for batch in whole.in_order(rows, names)]
        shared = [batch.numbers.tolist() for part in parts for batch in part.in_order(rows, names)]
        assert shared == alone, "whole batches, in the order of ranks"
    alone = [batch.numbers.tolist() for batch in whole.epoch(1, 2, size, 0, names)]
    by_rank = [[batch.numbers.tolist() for batch in part.epoch(1, 2, size, 0, names)] for part in parts]
    assert [list(chain(*rows)) for rows in zip(*by_rank, strict=True)] == alone
    counts = {len(rows) for batches in by_rank for rows in batches}
    assert max(counts) - min(counts) <= 1


def test_a_list_of_files_is_read_of_youtube8m_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only YouTube-8M is read from a list"):
        FEATURES.open([tmp_path / "a", tmp_path / "b"], "train", NoReading())


def test_a_configuration_names_whose_settings_it_gives() -> None:
    sampling = {"type": "first", "frames": 3}
    config = load_config(TINY, {"data.folder": "f", "data.reading.sampling": sampling})
    assert config.reading == Reading(sampling=Sampling(type="first", frames=3))
    assert load_config(config.to_dict()).data == config.data
    assert "set" not in config.to_dict()["data"]
    plain = load_config(TINY, {"data.folder": "f", "data.set": "features"})
    assert plain.reading == NoReading()
    assert load_config(plain.to_dict()).data == plain.data
    with pytest.raises(SpecError, match=r"data\.reading\.sampling: unknown key"):
        load_config(TINY, {"data.folder": "f", "data.set": "features", "data.reading.sampling": sampling})
    with pytest.raises(SpecError, match="'feature' is not a known data set; did you mean 'features'"):
        load_config(TINY, {"data.folder": "f", "data.set": "feature"})


class Halved(BaseModel):
    """Settings of the data set below."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    workers: int = 1


class Strange(Features):
    """Another data set: a folder with a file of its own."""

    name = "strange"
    Reading: type[BaseModel] = Halved

    def recognises(self, location: object) -> bool:
        return (Path(str(location)) / "strange").is_file()


def test_one_more_data_set_is_one_line_of_the_list(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DATA_SETS", (Strange(), *registry.DATA_SETS))
    before = fingerprint(features)
    (features / "strange").touch()
    assert recognise(features).name == "strange"
    assert fingerprint(features) == before
    assert len(open_split(features, "test", Halved(workers=2))) == len(open_split(features, "test", Reading())) == 64
    config = load_config(TINY, {"data.folder": "f", "data.set": "strange", "data.reading.workers": 3})
    assert config.reading == Halved(workers=3)
    assert reading_from_dict(reading_to_dict(config.reading)) == config.reading
    assert choose_reading(None, {"workers": 2}, features, config.spec) == Halved(workers=2)
    assert choose_reading(config.reading, {}, features, config.spec) == config.reading
    with pytest.raises(SpecError, match=r"reading\.sampling: unknown key; known: workers"):
        choose_reading(None, {"sampling": "all"}, features)
