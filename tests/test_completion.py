"""Completion in a shell: what is offered, through the protocol of the script that --install-completion writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from acz.backend.registry import infos, native_formats
from acz.exchange.artefacts.formats import formats
from acz.zoo.catalog import config_names

pytestmark = pytest.mark.slow  # each starts a shell or the command

PROGRAM = """#!{python}
import atexit, sys
from acz.cli import main
atexit.register(lambda: print("loaded:", *sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr))
sys.argv[0] = "acz"
main()
"""
BASH = """
eval "$(_ACZ_COMPLETE=source_bash acz 2>script-errors)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_acz_completion acz
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Completion as bash does it, by the function that `acz --install-completion` writes."""


def complete(line: str, folder: Path) -> tuple[list[str], set[str]]:
    """Complete the last word of a line in bash. Give the offered words and the packages that were imported.

    Bash divides words at their colons, and the offered words begin behind the last colon.
    """
    words = [part for word in line.split(" ") for part in re.split("(:)", word)]
    parts = [part for place, part in enumerate(words) if part or (place == len(words) - 1 and words[place - 1] != ":")]
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "acz").write_text(PROGRAM.format(python=sys.executable))
    (programs / "acz").chmod(0o755)
    answer = subprocess.run(
        ["bash", "-c", BASH, "bash", *parts],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
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
    assert words == [f"flash_mnist/attention_cluster{form}" for form in ("", "_digits", "_hidden", "_sets")]
    assert not loaded & {"numpy", *(info.framework for info in infos().values())}, "it must be quick"


def test_forms_and_variants_follow_the_name_of_one_model(tmp_path: Path) -> None:
    words, _ = complete("acz show youtube8m/compact/dbof", tmp_path)
    assert words == config_names("youtube8m/compact/dbof*")
    assert complete("acz show youtube8m/compact/dbof:circulant_e", tmp_path)[0] == ["circulant_expansion"]
    assert complete("acz show youtube8m/compact/dbof:compact:t", tmp_path)[0] == ["tiny"]
    words, _ = complete("acz show youtube8m/compact/dbof:compact:", tmp_path)
    assert words == [*("circulant_expansion", "circulant_hidden", "circulant_classifier"), "tiny", "small", "few_steps"]
    words, _ = complete("acz train flash_mnist/extractor:tiny --device GPU:1 --backend pad", tmp_path)
    assert words == ["paddle"]
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
