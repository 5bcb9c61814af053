"""Inputs that broke a reader once, or were made for that: each is accepted or refused as its folder says.

docs/reliability.md says how to look for more.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from acz.foundation.errors import SpecError
from acz.foundation.files.yaml import LONGEST
from acz.zoo.config import load_config
from fuzz.guard import Violation, guarded
from fuzz.readers import READERS, input_folder, mutated, remove_folder, try_input

CORPUS = Path(__file__).parent.parent / "fuzz" / "corpus"
INPUTS = sorted(path for path in CORPUS.glob("*/*/*"))
MUTATED = {
    "idx": 500,
    "features": 150,
    "checkpoint": 300,
    "config": 100,
    "pickle": 500,
    "records": 300,
    "tensorflow": 500,
    "record": 300,
    "proof": 300,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    made = input_folder()
    yield made
    remove_folder(made)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_an_input_is_taken_or_refused(path: Path, folder: Path) -> None:
    reader, outcome, _ = path.parts[-3:]
    assert try_input(READERS[reader], path.read_bytes(), folder) == (outcome == "taken")


@pytest.mark.parametrize("name", READERS)
def test_every_seed_is_taken_and_what_is_made_of_them_breaks_nothing(name: str, folder: Path) -> None:
    reader = READERS[name]
    assert name in {path.parts[-3] for path in INPUTS}
    seeds = [try_input(reader, data, folder) for data in reader.seeds()]
    assert all(seeds), seeds
    outcomes = [try_input(reader, data, folder) for data in mutated(reader, MUTATED[name], seed=7)]
    assert not all(outcomes)


def test_a_configuration_has_a_longest_length(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("#" * (LONGEST + 1))
    with pytest.raises(SpecError, match="longer than 131,072 characters"):
        load_config(tmp_path / "a.yaml")


def _loop() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: os.system("true"),
        lambda folder: subprocess.run(["true"], check=True),
        lambda folder: Path("/etc/hostname").read_bytes(),
        lambda folder: (folder / "new").write_bytes(b""),
        lambda folder: (folder / "old").unlink(),
        lambda folder: np.load(folder / "old", allow_pickle=True),
        lambda folder: __import__("this"),
        lambda folder: eval("1"),
        lambda folder: np.zeros(2**31),
        lambda folder: bytearray(2**31),
    ],
)
def test_the_guard_notices(act: Callable[[Path], object], folder: Path) -> None:
    np.save(folder / "old.npy", np.array([Violation]), allow_pickle=True)
    (folder / "old.npy").rename(folder / "old")
    with pytest.raises((Violation, MemoryError)), guarded(folder):
        act(folder)


def test_the_guard_ends_what_does_not_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.guard.SECONDS", 0.05)
    with pytest.raises(Violation, match="took more than"), guarded(folder):
        _loop()
