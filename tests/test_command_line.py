"""The command line in a shell: exit codes, one message, standard output that is closed, a framework that is broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acz.model.checkpoint import load_checkpoint
from tests.conftest import TINY

TRAIN = ("train", TINY, "--backend", "numpy", "--set", "train.batch_size=16")


def shell(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "acz", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=os.environ | environment, timeout=60, check=False
    )


def test_standard_output_may_be_closed(tmp_path: Path) -> None:
    line = f"{sys.executable} -m acz models --json >&-"
    answer = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr


def test_a_reader_may_leave_early(tmp_path: Path) -> None:
    line = f"{sys.executable} -m acz models | true"
    answer = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in answer.stderr


def test_a_framework_that_does_not_load_is_named(tmp_path: Path) -> None:
    package = tmp_path / "site/torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('libfortune.so: cannot open shared object file')\n")
    answer = shell("train", TINY, "--backend", "torch", cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert answer.returncode == 3
    assert "libfortune.so" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_ctrl_c_saves_and_says_how_to_go_on(features: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "acz", *TRAIN, "--data", features, "--set", "train.epochs=2000", "--out", "run"]
    process = subprocess.Popen(list(map(str, words)), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run/metrics.jsonl"
    end = time.monotonic() + 60
    while not log.exists() or not log.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, words_of_it = process.communicate(timeout=30)
    assert process.returncode == 130
    assert words_of_it.splitlines()[-1].endswith("'acz train --resume --out run' resumes the run")
    assert load_checkpoint(tmp_path / "run/last.safetensors").state["step"] > 0


@pytest.mark.parametrize("size", [16, pytest.param(300, marks=pytest.mark.slow)])
def test_a_full_disk_is_one_message_and_keeps_what_was_there(features: Path, tmp_path: Path, size: int) -> None:
    """A file-size limit takes the place of the disk: writing past it fails as on a full disk."""
    first = shell(*TRAIN, "--data", features, "--set", "train.epochs=1", "--out", "run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    run = json.loads((tmp_path / "run/run.json").read_text())
    run["config"]["train"]["epochs"] = 2000
    (tmp_path / "run/run.json").write_text(json.dumps(run))
    kept = load_checkpoint(tmp_path / "run/last.safetensors").parameters
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size} * 64, {size} * 64))\n"
        "sys.argv = ['acz', 'train', '--resume', '--out', 'run']; from acz.cli import main; main()"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "File too large" in answer.stderr
    checkpoint = load_checkpoint(tmp_path / "run/last.safetensors")
    assert set(checkpoint.parameters) == set(kept)
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".last")]


def test_a_folder_that_can_not_be_written(features: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = shell(*TRAIN, "--data", features, "--out", "file/run", cwd=tmp_path)
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1
