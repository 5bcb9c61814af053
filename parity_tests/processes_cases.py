"""Trainings of several processes beside those of one, and launchers as their users type them, for the tests of every backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from acz.backend.engines.worker_group import ProcessGroup
from acz.backend.processes import Command
from acz.backend.protocol import Backend
from acz.backend.worker import Worker
from acz.foundation.arrays import Arrays
from acz.model.precision import Precision
from acz.parity import jobs
from acz.parity.cases import cases
from acz.parity.levels.processes import train_together
from acz.parity.levels.training import DECOUPLED, training_arguments
from acz.reference.bounds import FLOAT64, difference, float32_bound, perturbed

STEPS = 20
MODELS = ("layers/image", "layers/bags_of_frames", "layers/frozen")
"""Models with batch norms of images and of bags, and with frozen parameters. Level 6 has those of videos and frames."""

MEMBER = """
import json
import sys

import numpy as np
from acz.backend.ranks import find_place
from acz.backend.registry import find_backend

place = find_place(sys.argv[1])
backend = find_backend(sys.argv[1])
backend.join(place, "CPU")
total = backend.total(np.array([1.0, 2.0**-52 * place.rank]))
with open(f"{place.rank}.json", "w") as file:
    json.dump([str(place), place.local_rank, place.local_world, total.tolist()], file)
backend.total(np.zeros(1))  # nobody leaves while another is at work
backend.leave()
"""
"""A program that a launcher starts: it joins, sums, and writes its place and the sum."""


def with_small_buckets(backend: Backend) -> Backend:
    """A backend whose gradients travel in many buckets: some of several gradients, some of one."""
    import_module(f"acz_{backend.NAME}.processes").BUCKET = 256
    return backend


def check_trainings(backend: str, worker: Worker, groups: Sequence[ProcessGroup], model: str) -> None:
    """Train in one process and in groups, with masks of frames: in float64, and in float32 twice."""
    case = next(case for case in cases() if case.model == model)
    wide, arrays = training_arguments(case, DECOUPLED, True, Precision.FLOAT64, STEPS)
    wide = replace(wide, steps_after_checkpoint=0)
    narrow = replace(wide, precision=Precision.FLOAT32)
    _, exact = worker.run(jobs.training, wide, arrays)
    moved = arrays | jobs.pack_parameters(perturbed(case.parameters))
    rounded = [worker.run(jobs.training, narrow, arrays)[1], worker.run(jobs.training, wide, moved)[1]]
    drift = max(difference(training[name], exact[name]) for training in rounded for name in exact)
    for group in groups:
        ranks = train_together(group, wide, arrays)
        require_near(exact, ranks[0], FLOAT64)
        require_equal_bits(ranks)
        ranks = train_together(group, narrow, arrays)
        require_near(exact, ranks[0], float32_bound(drift))
        require_equal_bits([*ranks, *train_together(group, narrow, arrays)])


def require_near(exact: Arrays, answer: Arrays, bound: float) -> None:
    """Check that losses and parameters are those of one process."""
    assert answer.keys() == exact.keys()
    for name, value in exact.items():
        assert difference(answer[name], value) <= bound, name


def require_equal_bits(answers: Sequence[Arrays]) -> None:
    """Check that the ranks have the same numbers, in a repetition too."""
    for answer in answers[1:]:
        assert answer.keys() == answers[0].keys()
        for name, value in answers[0].items():
            assert np.array_equal(answer[name], value), name


def run_members(backend: str, commands: Sequence[Command], folder: Path) -> list[list[object]]:
    """Type a launcher's commands at once, each as on its host, with MEMBER as the program; gives what each rank wrote."""
    (folder / "member.py").write_text(MEMBER)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with ExitStack() as stack:
        started = []
        for command in commands:
            launcher = command.words[: command.words.index("acz")]
            program = "member" if launcher[-1] == "-m" else "member.py"
            started.append(
                subprocess.Popen(
                    [*launcher, program, backend],
                    cwd=folder,
                    env=environment | dict(command.variables),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            stack.callback(started[-1].kill)
        for process in started:
            output, _ = process.communicate(timeout=200)
            logs = "".join(file.read_text(errors="replace")[-2000:] for file in folder.glob("*log*/*"))
            assert process.returncode == 0, output[-3000:] + logs
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
