"""A training step of the zoo's models at their published sizes: its time on the processor, and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from acz.backend.worker import Worker
from acz.studies.benchmarks.jobs import ClockArguments, HoldArguments, clock, hold_step, release
from acz.studies.benchmarks.measure import Bench, Row
from acz.zoo.config import load_spec

MODELS = (
    "flash_mnist/attention_cluster_hidden",
    "youtube8m/frame_average",
    "youtube8m/attention_cluster",
    "youtube8m/attention_cluster_experts",
    "youtube8m/compact/moments",
    "youtube8m/compact/dbof",
    "youtube8m/compact/netvlad",
    "youtube8m/compact/netfv",
)
VIDEOS = (16, 64)
"""Videos of a batch. Two sizes tell the memory of a video from that of the parameters."""
REPEATS = 3


def measure_zoo(bench: Bench) -> Iterator[Row]:
    """Each model's training step in a process of its own: seconds of the processor a video, and peak memory."""
    for backend in bench.backends:
        for name in MODELS:
            spec = load_spec(name)
            for videos in VIDEOS:
                bench.shown(f"{name}, batch {videos}", MODELS.index(name), len(MODELS))
                with Worker(backend, bench.threads) as worker:
                    worker.run(hold_step, HoldArguments("step", spec, videos))
                    spent, _ = worker.run(clock, ClockArguments("step", REPEATS, bench.seconds, of_processor=True))
                    peak, _ = worker.run(release, None)
                setting = f"{name}, batch {videos}"
                time = median(spent) * 1e3 / videos
                yield Row("zoo", "training step, of the processor", backend, setting, time, "ms/video")
                yield Row("zoo", "peak resident, training step", backend, setting, peak, "MiB")
