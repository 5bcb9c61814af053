"""Reading YouTube-8M shards beside a framework's own reader, and how long a training step waits for what is read.

Both readers do the same work: uint8 batches filled up to 300 frames, with all checksums compared.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from acz.studies.benchmarks.jobs import ReadingArguments, hold_reading
from acz.studies.benchmarks.measure import Bench, Row, ratio, workers_with
from acz.training.log import read_log

VIDEOS, SHARDS, BATCH = 1536, 6, 128
FRAMES = (120, 300)
WORKERS = (0, 1, 2)
MODEL, TRAINING_BATCH, EPOCHS = "youtube8m/attention_cluster", 256, 5
"""The training that may wait: six steps an epoch, of which the first is not counted."""


def measure_youtube8m(bench: Bench) -> Iterator[Row]:
    """Videos a second of an epoch, and the share of `acz train` that is spent waiting for them in the first backend.

    An epoch is read by this process, by one and by two processes, and by the reader of a framework that has one. That
    reader runs with all cores and with one thread.
    """
    setting = f"{FRAMES[0]} .. {FRAMES[1]} frames, batch {BATCH}, all checksums"
    configure_process(bench.threads)
    with tempfile.TemporaryDirectory(prefix="acz-bench-") as place, ExitStack() as stack:
        folder = Path(place)
        synthesis = Synthesis(VIDEOS, 1, SHARDS, 1, frames=FRAMES)
        synthesize(synthesis, folder / "data", lambda done, total: bench.shown("writing videos", done, total))
        others = _other_readers(bench, sorted((folder / "data").glob("train*")), stack)
        reads: dict[str, Callable[[], float]] = dict(others)
        for workers in WORKERS:
            data = open_youtube8m(folder / "data", "train", Reading(verify="all", workers=workers))
            stack.callback(data.close)
            reads[f"acz, {_processes(workers)}"] = partial(_epochs, data, bench.seconds)
        speeds: dict[str, list[float]] = {label: [] for label in reads}
        for done in range(bench.rounds):
            for label, read in reads.items():
                bench.shown(f"reading, {label}", done, bench.rounds)
                speeds[label].append(VIDEOS // BATCH * BATCH / read())
        yield from _speeds(speeds, others, setting)
        for workers in WORKERS[:2]:
            bench.shown(f"training, {_processes(workers)} reading", workers, 2)
            seconds, wait = _train(bench, folder, workers)
            setting = f"{MODEL}, batch {TRAINING_BATCH}, read by {_processes(workers)}"
            yield Row("youtube8m", "step of acz train", bench.backends[0], setting, seconds, "s")
            yield Row("youtube8m", "of it waiting for data", bench.backends[0], setting, 100 * wait, "%")


def _other_readers(bench: Bench, paths: list[Path], stack: ExitStack) -> dict[str, Callable[[], float]]:
    """The readers of frameworks by name, each as a function that gives the seconds of a pass."""
    readers: dict[str, Callable[[], float]] = {}
    for backend in [name for name, _ in workers_with(bench, "reading")]:
        for suffix, threads in (("", cores()), (", one thread", 1)):
            worker = stack.enter_context(Worker(backend, threads))
            reader, _ = worker.run(hold_reading, ReadingArguments("read", paths, BATCH, CLASSES))
            readers[f"{reader}{suffix}"] = partial(bench.clock, worker, "read")
    return readers


def _speeds(speeds: Mapping[str, list[float]], others: Iterable[str], setting: str) -> Iterator[Row]:
    """Videos a second: this process beside the others' readers, and more processes beside fewer."""

    def row(label: str, against: str = "") -> Row:
        relative = ratio(speeds[label], speeds[against]) if against else None
        return Row("youtube8m", "reading", label, setting, median(speeds[label]), "videos/s", against, relative)

    alone, *more = (f"acz, {_processes(workers)}" for workers in WORKERS)
    for label in others:
        yield row(label)
        yield row(alone, label)
    for number, label in enumerate(more):
        yield row(label, more[0] if number else alone)


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


def _epochs(data: YouTube8M, seconds: float) -> float:
    """Seconds of an epoch, after one that is not counted."""
    spent: list[float] = []
    while len(spent) < 2 or sum(spent[1:]) < seconds:
        start = time.perf_counter()
        for batch in data.epoch(0, len(spent), BATCH, 0, ["rgb", "audio"]):
            del batch
        spent.append(time.perf_counter() - start)
    return median(spent[1:])
