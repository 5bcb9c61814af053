"""A small run that tests of backends share: its settings, its command, and the same run in the reference."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from acz.api.runs import new_run
from acz.foundation.arrays import Array, Arrays
from acz.model.checkpoint import load_checkpoint
from acz.reference import numpy_backend
from acz.reference.bounds import ROUNDING, difference, float32_bound, perturbed
from acz.training.log import read_log
from acz.training.loop import train
from acz.zoo.config import load_config
from tests.conftest import TINY

SETS: dict[str, object] = {
    "train.epochs": 6,
    "train.batch_size": 16,
    "train.optimizer.learning_rate": 0.05,
    "train.schedule.type": "constant",
    "train.checkpoint_steps": 3,
}
SETTINGS = [word for key, value in SETS.items() for word in ("--set", f"{key}={value}")]


def type_command(*words: object, cwd: Path, threads: int = 1) -> subprocess.CompletedProcess[str]:
    """Run `acz` as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "acz", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        check=False,
    )


def read_losses(folder: Path) -> Array:
    """The evaluation loss after each epoch of a run, (epochs)."""
    log = read_log(folder / "metrics.jsonl")
    return np.array([line["loss"] for line in log if line["kind"] == "evaluation"])


@dataclass(frozen=True)
class ReferenceRun:
    """A run in the reference, in float64, and how far from it a run in float32 may end."""

    losses: Array
    parameters: Arrays
    bound: float


def run_reference(data: Path, folder: Path, epochs: int) -> ReferenceRun:
    """Train in float64, in float32, and in float32 from the numbers beside the first ones.

    The bounds follow from the reference's own float32 runs, as those of parity's level 3 do. There are two of them,
    since one may be near by chance. The parameters of one model drift together, so the largest drift sets the bound
    of all. A loss is a mean over videos, in which roundings cancel: its own difference would be too small by chance.
    """

    def run(name: str, precision: str, by: float = 0.0) -> tuple[Array, Arrays]:
        build, load = numpy_backend.build, numpy_backend.load_parameters
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numpy_backend, "build", lambda spec, device, _: build(spec, device, precision))
            patch.setattr(numpy_backend, "load_parameters", lambda model, start: load(model, perturbed(start, by)))
            config = load_config(TINY, {**SETS, "train.epochs": epochs})
            train(new_run(config, "numpy", "CPU", data, folder / name, 1))
        return read_losses(folder / name), load_checkpoint(folder / name / "last.safetensors").parameters

    losses, parameters = run("float64", "float64")
    others = [run("float32", "float32"), run("beside", "float32", ROUNDING)]
    drifts = [difference(other[path], value) for _, other in others for path, value in parameters.items()]
    drifts += [difference(other, losses) for other, _ in others]
    return ReferenceRun(losses, parameters, float32_bound(max(drifts)))
