"""Commands over several processes as users type them, for tests, and the comparison of runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from acz.model.checkpoint import load_checkpoint


def start(*words: str | Path, folder: Path, variables: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A command in a folder, in which the programs of this environment come first."""
    environment = {**os.environ, **(variables or {}), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [str(word) for word in words], cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def acz(*words: str | Path, folder: Path) -> str:
    """Run a command to its good end; gives its standard output."""
    process = start(sys.executable, "-m", "acz", *words, folder=folder)
    output, problems = process.communicate(timeout=300)
    assert process.returncode == 0, problems
    return output


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines] + [line["train_loss"] for line in lines if "train_loss" in line]


def require_same(first: Path, second: Path) -> None:
    """Check that two runs ended with the same bits."""
    a, b = (load_checkpoint(run / "last.safetensors") for run in (first, second))
    assert a.parameters.keys() == b.parameters.keys()
    for values, others in ((a.parameters, b.parameters), (a.optimizer, b.optimizer)):
        assert all(np.array_equal(values[name], others[name]) for name in values)
    assert losses(first) == losses(second)
