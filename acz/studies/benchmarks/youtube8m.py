"""Reading YouTube-8M shards beside tf.data, which does the same work: uint8 batches filled up to 300 frames, checksums compared, in turn;
and whether a training step has to wait for what is read."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from acz.backend.worker import Worker
from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.making.synthesize import Synthesis, synthesize
from acz.data.youtube8m.reading.reader import YouTube8M
from acz.data.youtube8m.settings import CLASSES, Reading
from acz.foundation.processes.environment import configure_process, cores
from acz.studies.benchmarks.measure import Bench, Row, ratio
from acz.training.log import read_log

VIDEOS, SHARDS, BATCH = 1536, 6, 128
FRAMES = (120, 300)
WORKERS = (0, 1, 2)
TENSORFLOW = "tf.data"
MODEL, TRAINING_BATCH, EPOCHS = "youtube8m/attention_cluster", 256, 5
"""What is trained to see whether it waits: six steps an epoch, of which the first is not counted."""


def youtube8m(bench: Bench) -> Iterator[Row]:
    """Videos a second of an epoch: by this process, by one and by two processes, and by tf.data with all cores and with one thread;
    then the share of `acz train` that is spent waiting for them, in the first backend."""
    setting = f"{FRAMES[0]} .. {FRAMES[1]} frames, batch {BATCH}, all checksums"
    configure_process(bench.threads)
    with tempfile.TemporaryDirectory(prefix="acz-bench-") as place, ExitStack() as stack:
        folder = Path(place)
        asked = Synthesis(VIDEOS, 1, SHARDS, 1, frames=FRAMES)
        synthesize(asked, folder / "data", lambda done, total: bench.shown("writing videos", done, total))
        paths = [str(path) for path in sorted((folder / "data").glob("train*"))]
        reads: dict[str, Callable[[], float]] = {}
        if "tensorflow" in bench.backends:
            for label, threads in ((TENSORFLOW, cores()), (f"{TENSORFLOW}, one thread", 1)):
                worker = stack.enter_context(Worker("tensorflow", threads))
                job = {"name": "read", "paths": paths, "videos": BATCH, "classes": CLASSES}
                worker.run("acz_tensorflow.benchmark:hold_reading", job)
                reads[label] = partial(_clock, worker, bench.seconds)
        for workers in WORKERS:
            data = open_youtube8m(folder / "data", "train", Reading(verify="all", workers=workers))
            stack.callback(data.close)
            reads[f"acz, {_processes(workers)}"] = partial(_epochs, data, bench.seconds)
        speeds: dict[str, list[float]] = {label: [] for label in reads}
        for done in range(bench.rounds):
            for label, read in reads.items():
                bench.shown(f"reading, {label}", done, bench.rounds)
                speeds[label].append(VIDEOS // BATCH * BATCH / read())
        one = speeds[f"acz, {_processes(0)}"]
        for label, found in speeds.items():
            if label.startswith(TENSORFLOW):
                yield Row("youtube8m", "reading", label, setting, median(found), "videos/s")
                of_theirs = ratio(one, found)
                yield Row(
                    "youtube8m", "reading", f"acz, {_processes(0)}", setting, median(one), "videos/s", label, of_theirs
                )
        for workers in WORKERS[1:]:
            found = speeds[f"acz, {_processes(workers)}"]
            against = f"acz, {_processes(WORKERS[1])}" if workers > 1 else f"acz, {_processes(0)}"
            of_one = ratio(found, speeds[against])
            yield Row(
                "youtube8m",
                "reading",
                f"acz, {_processes(workers)}",
                setting,
                median(found),
                "videos/s",
                against,
                of_one,
            )
        for workers in WORKERS[:2]:
            bench.shown(f"training, {_processes(workers)} reading", workers, 2)
            seconds, wait = _train(bench, folder, workers)
            setting = f"{MODEL}, batch {TRAINING_BATCH}, read by {_processes(workers)}"
            yield Row("youtube8m", "step of acz train", bench.backends[0], setting, seconds, "s")
            yield Row("youtube8m", "of it waiting for data", bench.backends[0], setting, 100 * wait, "%")


def _train(bench: Bench, folder: Path, workers: int) -> tuple[float, float]:
    """Seconds a step of a real run at the published size, and the share of them that it waits for data."""
    out = folder / f"run{workers}"
    words = ["train", MODEL, "--backend", bench.backends[0], "--data", folder / "data", "--out", out]
    words += ["--threads", bench.threads, "--set", f"train.batch_size={TRAINING_BATCH}"]
    words += ["--set", f"train.epochs={EPOCHS}", "--set", f"data.reading.workers={workers}"]
    subprocess.run([sys.executable, "-m", "acz", *map(str, words)], check=True, capture_output=True)
    lines = [line for line in read_log(out / "metrics.jsonl") if line["kind"] == "evaluation"][1:]
    rate, wait = (median(line[name] for line in lines) for name in ("videos_per_second", "data_wait"))
    return TRAINING_BATCH / rate, wait


def _processes(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}" if workers else "this process"


def _clock(worker: Worker, seconds: float) -> float:
    """Seconds of a pass by tf.data."""
    return median(
        worker.run("acz.studies.benchmarks.jobs:clock", {"name": "read", "repeats": 50, "seconds": seconds})[0]
    )


def _epochs(data: YouTube8M, seconds: float) -> float:
    """Seconds of an epoch, after one that is not counted."""
    spent: list[float] = []
    while len(spent) < 2 or sum(spent[1:]) < seconds:
        start = time.perf_counter()
        for batch in data.epoch(0, len(spent), BATCH, 0, ["rgb", "audio"]):
            del batch
        spent.append(time.perf_counter() - start)
    return median(spent[1:])
