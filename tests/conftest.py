"""Small data sets and a way to type commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.cli import main
from acz.data.folder import write_manifest, write_shard
from acz.reference.samples import Case

os.environ.pop("COLUMNS", None)  # a process of pytest-xdist has it, and tables would be as narrow

TINY = "flash_mnist/attention_cluster:tiny"


def by_model(cases: list[Case]) -> list[Any]:
    """Cases as parameters. Compact and gated models are in the slow part: their layers have cases of their own."""
    slow = ("youtube8m/compact/", "youtube8m/gated/")
    return [
        pytest.param(case, id=case.model, marks=[pytest.mark.slow] if case.model.startswith(slow) else [])
        for case in cases
    ]


@dataclass
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep indices of shards beside the tests' other files, and read no configuration of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def acz(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Type a command in this process: `acz("models", "--json")`."""

    def run(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["acz", *map(str, words)])
        capsys.readouterr()
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Answer(int(code or 0), out, err)

    return run


def write_features(folder: Path, seed: int = 0, videos: int = 64, classes: int = 6, frames: int = 5) -> Path:
    """A data set that the tiny attention cluster can learn: each class marks one frame with its own vector."""
    source = np.random.default_rng(seed)
    marks = np.random.default_rng(99).standard_normal((classes, 4)) * 4
    splits = {}
    for split in ("train", "test"):
        records = []
        for shard in range(2):
            labels = source.integers(0, classes, videos // 2)
            features = source.standard_normal((videos // 2, frames, 4)).astype(np.float32)
            features[np.arange(len(labels)), source.integers(0, frames, len(labels))] += marks[labels].astype(
                np.float32
            )
            records.append(write_shard(folder, split, shard, {"features": features, "labels": labels}))
        splits[split] = records
    write_manifest(folder, splits, {"what": "test"})
    return folder


def write_several_labels(folder: Path, videos: int = 40, one_class: bool = False) -> Path:
    """A data set of videos with any number of labels of 6 classes, or with one."""
    source, splits = np.random.default_rng(3), {}
    for split in ("train", "test"):
        features = source.standard_normal((videos, 5, 4)).astype(np.float32)
        labels = (source.random((videos, 6)) < 0.3).astype(np.uint8)
        arrays = {"features": features, "labels": labels.argmax(axis=1) if one_class else labels}
        splits[split] = [write_shard(folder, split, 0, arrays)]
    write_manifest(folder, splits, {"what": "test"})
    return folder


@pytest.fixture
def source() -> np.random.Generator:
    """Random numbers for one test, the same in each run and in any order of the tests."""
    return np.random.default_rng(0)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return write_features(tmp_path / "features")
