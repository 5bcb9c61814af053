"""The scripts that users of the MindSpore port know start the right commands, each with its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from acz_mindspore.launch import LAUNCHER

SCRIPTS = Path(__file__).parent.parent / "scripts"
SAYS = """#!{python}
import json, os, sys
os.write(1, (json.dumps([sys.argv[1:], {{name: os.environ[name] for name in ("RANK_TABLE_FILE", "RANK_ID", "DEVICE_ID") if name in os.environ}}]) + "\\n").encode())
sys.exit(int(os.environ.get("RANK_ID") == os.environ.get("FAILS")) if "FAILS" in os.environ else 0)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that prints its words and its place; it fails at the rank that FAILS names."""
    path = tmp_path / "says"
    path.write_text(SAYS.format(python=sys.executable))
    path.chmod(0o755)
    return path


def run(
    script: str, *words: str | Path, program: Path, **variables: str
) -> tuple[int, list[tuple[list[str], dict[str, str]]], str]:
    """The exit code of a script, the calls that it made, and its words on standard error."""
    done = subprocess.run(
        ["bash", SCRIPTS / script, *map(str, words)],
        env={**os.environ, "ACZ": str(program), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize(
    ("script", "words", "called"),
    [
        ("run_standalone_train.sh", ["M", "--out", "a b"], "train --backend mindspore --device Ascend:0 M --out"),
        ("run_distributed_train_gpu.sh", ["4", "M"], "train --backend mindspore --device GPU --processes 4 M"),
        ("run_eval.sh", ["runs/a"], "eval --backend mindspore --device Ascend:0 runs/a"),
        ("run_infer_310.sh", ["m.mindir", "data", "--out", "x"], "infer m.mindir --data data --out x"),
    ],
)
def test_a_script_is_one_command(script: str, words: list[str], called: str, program: Path) -> None:
    code, calls, _ = run(script, *words, program=program)
    assert code == 0
    ((typed, _),) = calls
    assert typed == called.split() + (["a b"] if "a b" in words else [])


def test_devices_can_be_named(program: Path) -> None:
    _, ((typed, _),), _ = run("run_eval.sh", "runs/a", program=program, DEVICE="CPU")
    assert typed[typed.index("--device") + 1] == "CPU"


def table(path: Path, servers: int) -> Path:
    """A rank table of servers with two cards each."""
    ranks = iter(range(2 * servers))
    content = [
        {
            "server_id": f"10.0.0.{n}",
            "device": [{"device_id": str(card), "rank_id": str(next(ranks))} for card in (4, 6)],
        }
        for n in range(servers)
    ]
    path.write_text(json.dumps({"version": "1.0", "server_count": str(servers), "server_list": content}))
    return path


def test_a_rank_table_starts_one_process_for_each_card_of_this_host(tmp_path: Path, program: Path) -> None:
    file = table(tmp_path / "ranks.json", 2)
    code, calls, _ = run("run_distributed_train.sh", file, "M", "--out", "r", program=program, SERVER_ID="10.0.0.1")
    assert code == 0
    places = sorted((variables["RANK_ID"], variables["DEVICE_ID"]) for _, variables in calls)
    assert places == [("2", "4"), ("3", "6")]
    for typed, variables in calls:
        assert typed == "train --backend mindspore --device Ascend M --out r".split()
        place = LAUNCHER.find_place(variables)
        assert place is not None
        assert (place.rank, place.world, place.local_world) == (int(variables["RANK_ID"]), 4, 2)
    code, calls, words = run("run_distributed_train.sh", file, "M", program=program)
    assert (code, calls) == (1, [])
    assert "set SERVER_ID to one of 10.0.0.0, 10.0.0.1" in words


def test_the_exit_code_of_a_rank_is_that_of_the_script(tmp_path: Path, program: Path) -> None:
    file = table(tmp_path / "ranks.json", 1)
    assert run("run_distributed_train.sh", file, "M", program=program, FAILS="1")[0] == 1
    assert run("run_distributed_train.sh", file, "M", program=program, FAILS="7")[0] == 0
