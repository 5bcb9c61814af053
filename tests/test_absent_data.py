"""A folder that is missing, misspelt, unfinished or of another kind: the message says what is there and what is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from acz.data.absent import READ_NAMES, contents_in_words
from acz.data.registry import open_split
from acz.foundation.errors import DataError
from tests.conftest import TINY, Answer
from tests.youtube8m_cases import write_shards

Acz = Callable[..., Answer]
MODEL = "youtube8m/frame_average"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path / "yt8m", [2])
    monkeypatch.chdir(tmp_path)


def refused(answer: Answer) -> str:
    assert answer.code == 2
    assert answer.err.count("\n") == 1, "one line"
    return answer.err


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("yt8n", "there is no such folder or file; did you mean 'yt8m/'?"),
        ("elsewhere", "there is no such folder or file; . holds yt8m/"),
        ("none/there", "there is no such folder or file; none is not there either"),
        ("yt8m/valid*.tfrecord", "nothing there matches; yt8m holds train00.tfrecord"),
        ("none/*.tfrecord", "nothing there matches; none is not there either"),
    ],
)
def test_a_location_that_is_not_there_is_said_with_what_is(acz: Acz, location: str, words: str) -> None:
    message = refused(acz("train", MODEL, "--backend", "numpy", "--data", location))
    assert message.startswith(f"acz: {location}")
    assert words in message
    assert READ_NAMES in message
    assert "flash-mnist" not in message
    shown = refused(acz("data", "youtube8m", "show", location))
    assert words in shown
    assert READ_NAMES in shown


def test_a_folder_of_other_files_is_listed(acz: Acz, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    for number in range(8):
        (tmp_path / f"full/part{number}.tfr").write_bytes(b"")
    (tmp_path / "full/.hidden").write_bytes(b"")
    message = refused(acz("train", MODEL, "--backend", "numpy", "--data", "full"))
    names = ", ".join(f"part{number}.tfr" for number in range(5))
    assert (
        f"full holds no finished data set: it holds {names} and 3 more; read are a folder with manifest.json" in message
    )
    (tmp_path / "empty").mkdir()
    assert contents_in_words("empty") == "it holds nothing"


def test_shards_are_verified_by_their_own_command(acz: Acz) -> None:
    message = refused(acz("data", "verify", "yt8m"))
    assert "'acz data youtube8m verify yt8m' checks them" in message


@pytest.mark.parametrize(
    ("model", "folder", "out"),
    [
        (TINY, "data/flash-digits", "data/flash-digits"),
        ("flash_mnist/extractor", "data/flash-mnist/noisy", "data/flash-mnist"),
    ],
)
def test_who_asks_for_flash_mnist_learns_how_it_is_made(acz: Acz, model: str, folder: str, out: str) -> None:
    message = refused(acz("train", model, "--backend", "numpy"))
    assert message == f"acz: {folder} is missing; 'acz data flash-mnist --out {out}' makes it\n"
    assert "flash-mnist --out" not in refused(acz("train", model, "--backend", "numpy", "--data", "mine"))


@pytest.mark.parametrize("asked", ["begun", "begun/noisy"])
def test_an_interrupted_build_is_resumed_by_the_command_that_began_it(tmp_path: Path, asked: str) -> None:
    (tmp_path / "begun/noisy").mkdir(parents=True)
    (tmp_path / "begun/building.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"'acz data flash-mnist --out begun' with the options of before resumes"):
        open_split(asked, "train")


def test_an_interrupted_conversion_is_resumed_by_convert(acz: Acz, tmp_path: Path) -> None:
    words = ("data", "youtube8m", "convert", "yt8m", "--out", "arrays")
    assert acz(*words).code == 0
    (tmp_path / "arrays/manifest.json").unlink()
    message = refused(acz("train", MODEL, "--backend", "numpy", "--data", "arrays"))
    assert "the same 'acz data youtube8m convert' or 'synthesize' as before resumes what was interrupted" in message
    assert acz(*words).code == 0


@pytest.mark.parametrize("name", ["train.tfrec", "features.csv", "x"])
def test_a_file_of_another_kind_is_not_taken_for_a_pickle(acz: Acz, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello", encoding="utf-8")
    message = refused(acz("train", MODEL, "--backend", "numpy", "--data", name))
    assert f"{name} holds no finished data set: it is a file of another kind; read are a folder with" in message


def test_a_list_names_the_part_that_is_missing(acz: Acz, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "yt8m")
    message = refused(acz("data", "youtube8m", "verify", "yt8m", "other"))
    assert message.startswith("acz: yt8m, other: no shards are there: yt8m: there is no such folder or file; . holds")
