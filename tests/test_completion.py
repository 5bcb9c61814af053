"""Completion in a shell: what is offered, through the protocol of the script that --install-completion writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acz.backend.registry import infos, native_formats
from acz.exchange.artefacts.formats import formats
from acz.zoo.catalog import config_names

CODE = """
import atexit, sys
from acz.cli import main
atexit.register(lambda: print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr))
sys.argv = ["acz"]
main()
"""


def complete(line: str, folder: Path) -> tuple[list[str], set[str]]:
    """Complete the last word of a line as bash does. Give the offered words and the packages that were imported."""
    words = line.split(" ")
    answer = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "_ACZ_COMPLETE": "complete_bash",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = answer.stderr.rpartition("loaded: ")[2]
    assert loaded, answer
    return answer.stdout.split(), set(loaded.split())


@pytest.mark.parametrize(
    "command", ["show", "train", "models", "parity-check", "convert weights.pkl --out out.safetensors --model"]
)
def test_names_of_models(command: str, tmp_path: Path) -> None:
    words, loaded = complete(f"acz {command} flash_mnist/att", tmp_path)
    assert words == ["flash_mnist/attention_cluster", "flash_mnist/attention_cluster_hidden"]
    assert not loaded & {"numpy", *(info.framework for info in infos().values())}, "it must be quick"


def test_forms_and_variants_follow_the_name_of_one_model(tmp_path: Path) -> None:
    words, _ = complete("acz show youtube8m/compact/dbof", tmp_path)
    assert words == config_names("youtube8m/compact/dbof*")
    words, _ = complete("acz show youtube8m/compact/dbof:compact:t", tmp_path)
    assert words == ["youtube8m/compact/dbof:compact:tiny"]
    assert complete("acz show nothing", tmp_path)[0] == []


def test_backends(tmp_path: Path) -> None:
    words, loaded = complete("acz train --backend ", tmp_path)
    assert words == sorted(infos())
    assert not loaded & {"numpy", *(info.framework for info in infos().values())}
    assert complete("acz backend-check t", tmp_path)[0] == ["tensorflow", "torch"]
    words, _ = complete("acz parity-check --backends torch,paddle,t", tmp_path)
    assert words == ["torch,paddle,tensorflow"], "a backend is not offered twice"


def test_formats(tmp_path: Path) -> None:
    words, loaded = complete("acz export --format ", tmp_path)
    assert words == [*formats(), "all"]
    assert not loaded & {info.framework for info in infos().values() if info.exclusive}
    words, loaded = complete("acz convert x.safetensors --out y --to ", tmp_path)
    assert words == list(native_formats())
    assert not loaded & {info.framework for info in infos().values() if info.exclusive}


@pytest.mark.parametrize("command", ["eval", "infer", "export", "report", "train --resume --out"])
def test_folders_of_runs(command: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs/other").mkdir()
    assert complete(f"acz {command} ru", tmp_path)[0] == ["runs/first", "runs/second"]
    assert complete(f"acz {command} chec", tmp_path)[0] == [], "the shell completes files"
