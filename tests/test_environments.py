"""Backends that live in other environments: real ones, made by venv, with acz on their path."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

import acz as package
from acz.backend.registry import find_backend, infos
from acz.foundation.errors import MissingError
from acz.foundation.processes.environments import LivesElsewhere, interpreter_of
from acz.foundation.version import __version__
from tests.conftest import TINY, Answer

pytestmark = pytest.mark.slow  # each starts interpreters

ROOT = Path(__file__).parent.parent
Type = Callable[..., Answer]
POINTS = "[acz.backends]\nmirror = mirror:INFO\nmirror_export = mirror:EXPORTING\nabsent = absent:INFO\n"
ABSENT = """
from acz.backend.info import BackendInfo
INFO = BackendInfo("absent", "absent", "no_such_framework", ("none",), "absent-framework")
"""


def make(folder: Path, *paths: str) -> str:
    """An environment without pip; it imports what is in `paths`. Returns its interpreter."""
    venv.create(folder, symlinks=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    (packages / "paths.pth").write_text("\n".join(paths))
    return str(folder / "bin/python")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with acz and the backend `mirror`, which this environment has not."""
    folder = tmp_path_factory.mktemp("other")
    outside = shutil.copytree(ROOT / "tests/outside_backend", folder / "outside")
    record = outside / "mirror-0.1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: mirror\nVersion: 0.1\n")
    (record / "entry_points.txt").write_text(POINTS)
    (outside / "absent.py").write_text(ABSENT)
    return make(folder / "venv", str(ROOT), str(ROOT / "backends"), str(outside), *site.getsitepackages())


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config/acz/backends.json"


def test_a_backend_is_added_listed_and_removed(acz: Type, python: str, configuration: Path) -> None:
    answer = acz("backends", "--add", "mirror", "--python", python, "--json")
    assert answer.code == 0, answer.err
    mirror = json.loads(answer.out)["mirror"]
    assert (mirror["python"], mirror["acz"], mirror["devices"]) == (python, __version__, ["CPU"])
    assert "python" not in json.loads(answer.out)["numpy"]
    assert json.loads(configuration.read_text()) == {"mirror": python}
    assert "mirror" in infos()
    answer = acz("backends", "--remove", "mirror", "--json")
    assert "mirror" not in json.loads(answer.out)
    assert acz("backends", "--remove", "mirror").code == 2


def test_its_worker_and_its_artefact_run_there(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACZ_PYTHON_MIRROR_EXPORT", python)
    report = package.check_parity(TINY.partition(":")[0], backends=["mirror_export"], levels=[1, 5])
    assert report.passed, report.failures
    assert {row.level for row in report.rows} == {1, 5}


def test_a_command_runs_there(python: str, features: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", TINY, "--backend", "mirror", "--data", str(features), "--out", str(run)]
    words += ["--set", "train.epochs=1", "--set", "train.batch_size=32"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    typed = subprocess.run(
        [sys.executable, "-m", "acz", *words],
        env=os.environ | {"ACZ_PYTHON_MIRROR": python, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert typed.returncode == 0, typed.stderr
    assert json.loads((run / "run.json").read_text())["backend"] == "mirror"


def test_a_program_is_told_where_to_run(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACZ_PYTHON_MIRROR", python)
    with pytest.raises(LivesElsewhere, match="run this program there") as caught:
        find_backend("mirror")
    assert (caught.value.name, caught.value.python) == ("mirror", python)


def test_this_interpreter_is_not_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (sys.executable, ""):
        monkeypatch.setenv("ACZ_PYTHON_NUMPY", value)
        assert interpreter_of("numpy") is None
    assert find_backend("numpy").NAME == "numpy"


def test_the_variable_comes_before_the_file(python: str, configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration.parent.mkdir(parents=True)
    configuration.write_text('{"mirror": "/nowhere/python"}')
    assert interpreter_of("mirror") == "/nowhere/python"
    monkeypatch.setenv("ACZ_PYTHON_MIRROR", python)
    assert interpreter_of("mirror") == python


def other_version(folder: Path) -> str:
    source = folder / "source/acz/foundation"
    source.mkdir(parents=True)
    for file, text in (("../__init__.py", ""), ("__init__.py", ""), ("version.py", '__version__ = "0.0.9"')):
        (source / file).write_text(text)
    return make(folder / "venv", str(folder / "source"))


@pytest.mark.parametrize(
    ("make_python", "name", "words"),
    [
        (lambda folder, good: "/nowhere/python", "mirror", "No such file"),
        (lambda folder, good: make(folder / "bare"), "mirror", "acz is not installed there; type"),
        (lambda folder, good: other_version(folder), "mirror", f"acz is 0.0.9 there, and {__version__} here; type"),
        (lambda folder, good: shutil.which("true"), "mirror", "does not answer as a Python"),
        (lambda folder, good: good, "cntk", "there is no backend 'cntk'"),
        (lambda folder, good: good, "absent", "no_such_framework, which is not installed"),
    ],
    ids=["missing", "no acz", "other version", "no Python", "no backend", "no framework"],
)
def test_what_is_wrong_is_one_line_with_what_to_type(
    make_python: Callable[[Path, str], str],
    name: str,
    words: str,
    python: str,
    acz: Type,
    tmp_path: Path,
    configuration: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = make_python(tmp_path, python)
    answer = acz("backends", "--add", name, "--python", there)
    assert answer.code == 3
    assert len(answer.err.splitlines()) == 1
    assert words in answer.err
    assert any(advice in answer.err for advice in ("acz backends --", f"{there} -m pip install", "known: "))
    assert not configuration.exists(), "nothing is added"
    monkeypatch.setenv(f"ACZ_PYTHON_{name.upper()}", there)
    with pytest.raises(MissingError):
        package.check_parity(TINY.partition(":")[0], backends=[name], levels=[1])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    about = json.loads(acz("backends", "--json").out)  # the others are listed all the same
    assert words in about[name]["problem"]
    assert "problem" not in about["numpy"]


def test_a_damaged_configuration_is_one_line(acz: Type, configuration: Path) -> None:
    configuration.parent.mkdir(parents=True)
    for content in ("{", "[]", '{"mirror": 3}'):
        configuration.write_text(content)
        answer = acz("backends")
        assert answer.code == 2
        assert "repair or remove it" in answer.err


def test_options_that_belong_together(acz: Type, tmp_path: Path) -> None:
    assert "--python PATH" in acz("backends", "--add", "mirror").err
    assert "--folder DIR" in acz("backends", "--create", "mirror").err
    assert "one of --add" in acz("backends", "--add", "a", "--remove", "b").err
    assert "is there already" in acz("backends", "--create", "mirror", "--folder", tmp_path).err
