"""YouTube-8M's metrics beside the official calculator's formulation, in two processes, on the same videos in turn."""

from __future__ import annotations

from collections.abc import Iterator

from acz.backend.worker import Worker
from acz.foundation.errors import CheckFailed
from acz.studies.benchmarks.jobs import CountArguments, count, release
from acz.studies.benchmarks.measure import Bench, Row
from acz.studies.benchmarks.official import BATCH, CLASSES

VIDEOS, TURN = 100_000, 5000
"""Videos in all, and in one turn."""


def measure_metrics(bench: Bench) -> Iterator[Row]:
    """The metrics of 100,000 videos of 3,862 classes, with their selection of the best 20, and the peak memory."""
    spent: dict[str, list[float]] = {"acz": [], "official": []}
    figures: dict[str, dict[str, float]] = {}
    with Worker("numpy", bench.threads) as ours, Worker("numpy", bench.threads) as theirs:
        workers = {"acz": ours, "official": theirs}
        batches = VIDEOS // BATCH
        for first in range(0, batches, TURN // BATCH):
            last = min(first + TURN // BATCH, batches)
            bench.shown("metrics beside the official formulation", first, batches)
            for kind, worker in workers.items():
                counted, _ = worker.run(count, CountArguments(kind, first, last, last == batches))
                figures[kind] = counted.figures
                spent[kind].append(counted.seconds)
        peaks = {kind: worker.run(release, None)[0] for kind, worker in workers.items()}
    # both did the same work; equal ones among two million float32 scores rank differently and move GAP by some 1e-6
    wrong = {name: value for name, value in figures["acz"].items() if abs(value - figures["official"][name]) > 1e-4}
    if wrong:
        raise CheckFailed(f"the two do not give the same: {wrong} and {figures['official']}")
    setting = f"{VIDEOS:,} videos, {CLASSES:,} classes"
    each = {kind: sum(seconds) / VIDEOS * 1e6 for kind, seconds in spent.items()}
    yield Row("metrics", "official formulation", "", setting, each["official"], "us of CPU a video")
    of = each["acz"] / each["official"]
    yield Row("metrics", "metrics", "", setting, each["acz"], "us of CPU a video", "official", of)
    yield Row("metrics", "peak resident, official formulation", "", setting, peaks["official"], "MiB")
    yield Row("metrics", "peak resident, metrics", "", setting, peaks["acz"], "MiB")
