"""Systems without POSIX: a command that needs no lock and no other process works there; another says what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from acz.foundation.errors import MissingError
from acz.foundation.files.locks import locked
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.zoo.config import load_config
from tests.conftest import TINY

POSIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios")
HIDDEN = f"""
import sys
sys.modules.update(dict.fromkeys({POSIX_ONLY!r}))  # None: an import fails
from acz.cli import main
sys.argv = ["acz", *sys.argv[1:]]
main()
"""


def without_posix(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command where the modules of POSIX are missing."""
    return subprocess.run(
        [sys.executable, "-c", HIDDEN, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )


def test_commands_that_read_run_without_posix(features: Path, tmp_path: Path) -> None:
    spec = load_config(TINY).spec
    model = tmp_path / "model.safetensors"
    save_checkpoint(model, spec, initial_parameters(spec, 0))
    for words in (("--help",), ("models", "--json"), ("show", TINY)):
        answer = without_posix(*words)
        assert (answer.returncode, answer.stderr) == (0, ""), words
    answer = without_posix("eval", model, "--backend", "numpy", "--data", features, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["examples"] == 64


def test_a_command_that_locks_says_what_is_missing(features: Path, tmp_path: Path) -> None:
    answer = without_posix("train", TINY, "--backend", "numpy", "--data", features, "--out", tmp_path / "run")
    assert (answer.returncode, "file locks of POSIX" in answer.stderr) == (3, True), answer.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_is_not_locked_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(MissingError, match="use Linux, macOS or WSL"), locked(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
