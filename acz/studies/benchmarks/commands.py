"""Whole commands in fresh processes: a training, and how long things take to start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from acz.backend.registry import infos
from acz.backend.worker import Worker
from acz.studies.benchmarks.features import write_features
from acz.studies.benchmarks.jobs import HoldArguments, hold_step
from acz.studies.benchmarks.measure import Bench, Row, ratio
from acz.studies.benchmarks.steps import HIDDEN, LINEAR
from acz.training.log import read_log
from acz.zoo.config import load_spec

VIDEOS, BATCH, EPOCHS = 64 * 256, 256, 3
"""The size of the training; the first epoch is not counted."""


def measure_training(bench: Bench) -> Iterator[Row]:
    """`acz train`, with data, masks, schedule and log, beside the bare step of the same model in the same framework."""
    spec = load_spec(HIDDEN)
    with tempfile.TemporaryDirectory(prefix="acz-bench-") as place, ExitStack() as stack:
        folder = Path(place)
        write_features(folder / "data", VIDEOS)
        workers = {name: stack.enter_context(Worker(name, bench.threads)) for name in bench.backends}
        for worker in workers.values():
            worker.run(hold_step, HoldArguments("step", spec, BATCH))
        spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in workers}
        for done in range(bench.rounds):
            for name, worker in workers.items():
                bench.shown(f"{name}: acz train beside its bare step", done, bench.rounds)
                before = bench.clock(worker, "step")
                spent[name][0].append(_train(name, folder, f"{name}-{done}", bench.threads))
                after = bench.clock(worker, "step")
                spent[name][1].append((before + after) / 2)
        for name, (ours, bare) in spent.items():
            setting = "64 units, fc 2, batch 256"
            yield Row("train", "bare step", name, setting, median(bare) * 1e3, "ms")
            of = ratio(ours, bare)
            yield Row("train", "step of acz train", name, setting, median(ours) * 1e3, "ms", "bare step", of)


def _train(backend: str, folder: Path, name: str, threads: int) -> float:
    """Seconds a step of a real run, over its epochs after the first, in which graphs are compiled."""
    out = folder / name
    words = ["train", HIDDEN, "--backend", backend, "--data", folder / "data", "--out", out, "--threads", threads]
    words += ["--set", f"train.epochs={EPOCHS}", "--set", f"train.batch_size={BATCH}"]
    subprocess.run([sys.executable, "-m", "acz", *map(str, words)], check=True, capture_output=True)
    speeds = [line["videos_per_second"] for line in read_log(out / "metrics.jsonl") if line["kind"] == "evaluation"]
    return BATCH / median(speeds[1:])


def measure_start(bench: Bench) -> Iterator[Row]:
    """Fresh processes: the help, importing each framework, and the first output of a model."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")} | {"OMP_NUM_THREADS": "1"}

    def seconds(words: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True, env=clean)
        return time.perf_counter() - start

    first = (
        "import sys, json, numpy, acz; s = acz.load_spec('{0}'); m = acz.build(s, backend='{1}'); "
        "from acz.backend.registry import find_backend; "
        "find_backend('{1}').forward(m, {{'features': numpy.zeros((1, 25, 50), 'float32')}})"
    )
    times: dict[str, list[float]] = {}
    for done in range(bench.rounds):
        bench.shown("start-up", done, bench.rounds)
        times.setdefault("acz --help", []).append(seconds(["-m", "acz", "--help"]))
        for name in bench.backends:
            times.setdefault(f"import {name}", []).append(seconds(["-c", f"import {infos()[name].framework}"]))
            times.setdefault(f"first output, {name}", []).append(seconds(["-c", first.format(LINEAR, name)]))
    for what, spent in times.items():
        name = next((name for name in bench.backends if what.endswith(name)), "")
        yield Row("start", what, name, "fresh process", median(spent), "s")
