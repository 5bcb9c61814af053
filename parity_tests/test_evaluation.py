"""Evaluation in each backend: figures from the best classes, which are selected where the model runs.

The promises that `acz.check_backend` checks hold the selection itself.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acz.backend.worker import Worker
from acz.reference import numpy_backend
from parity_tests.conftest import BACKENDS, require
from tests.conftest import write_several_labels
from tests.evaluation_cases import (
    SETS,
    EvaluateArguments,
    evaluate_job,
    small_checkpoint,
)
from tests.youtube8m_cases import record, write

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("backend", BACKENDS)
def test_figures_are_those_of_whole_outputs_in_batches_of_any_size(
    backend: str, worker: Callable[[str], Worker], tmp_path: Path
) -> None:
    arguments = EvaluateArguments(write_several_labels(tmp_path / "data"), [3, 512, 10])
    value, _ = worker(backend).run(evaluate_job, arguments)
    for figures in value.found:
        for name in ("hit_at_1", "perr", "map", "gap", "average_precision"):
            assert figures[name] == value.wanted[name], name
        assert figures["loss"] == pytest.approx(value.found[0]["loss"], rel=1e-6)
    assert value.left == {
        "finite": (4,),
        "output": (4, 2),
        "output.classes": (4, 2),
        "logits": (4, 1),
        "logits.classes": (4, 1),
        "loss": (),
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_gives_the_same_figures(backend: str, worker: Callable[[str], Worker], tmp_path: Path) -> None:
    arguments = EvaluateArguments(write_several_labels(tmp_path / "data"), [10])
    wanted, _ = evaluate_job(numpy_backend, arguments, {})
    value, _ = worker(backend).run(evaluate_job, arguments)
    for name, figure in wanted.found[0].items():
        assert value.found[0][name] == pytest.approx(figure, rel=1e-6), name


PEAK = """
import sys
from acz.cli import main
sys.argv[0] = "acz"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
# getrusage's peak would be, where it is higher, that of the process that started this one
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.parametrize("command", ["train", "eval", "infer"])
def test_memory_does_not_grow_with_the_number_of_shards(command: str, tmp_path: Path) -> None:
    """Forty shards like the four, which fill all batches that wait; kept as floats, the frames would be 150 MB.

    Training evaluates in batches of 512, which the one validation shard here never fills.
    """
    require("torch" if command == "train" else "numpy")
    bare = small_checkpoint(tmp_path / "bare.safetensors")
    peak = {}
    for count in (4, 40):
        folder = tmp_path / str(count)
        for shard in range(count):
            named = [record(f"{shard}-{i}", [i % 3], frames=100, seed=i) for i in range(8)]
            for split in ("train", "validate") if command != "train" or shard == 0 else ("train",):
                write(folder / f"{split}{shard:02d}.tfrecord", named)
        batch = ("--set", "train.batch_size=8", "--set", "train.epochs=2")
        words = {
            "train": ("youtube8m/frame_average", "--backend", "torch", *SETS, *batch),
            "eval": (bare, "--backend", "numpy", "--batch-size", 8),
            "infer": (bare, "--backend", "numpy", "--batch-size", 8),
        }[command]
        out = () if command == "eval" else ("--out", tmp_path / f"{command}{count}.npz")
        typed = [sys.executable, "-c", PEAK, command, *words, "--data", folder, *out, "--threads", 1]
        answer = subprocess.run([*map(str, typed)], check=True, capture_output=True, text=True, cwd=tmp_path)
        peak[count] = int(answer.stdout.splitlines()[-1])
    assert peak[40] < 1.05 * peak[4] + 8192, peak
