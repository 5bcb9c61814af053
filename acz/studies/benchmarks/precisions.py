"""Training steps and evaluations in bfloat16 beside float32, of a model in which matrix products dominate."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from acz.backend.devices import missing_precision
from acz.backend.worker import Worker
from acz.model.precision import Precision
from acz.studies.benchmarks.jobs import HoldArguments, hold_forward, hold_step, release
from acz.studies.benchmarks.measure import Bench, Row, ratio
from acz.zoo.config import load_spec

MODEL, VIDEOS = "youtube8m/attention_cluster", 256
"""The attention clusters of YouTube-8M at their published size, 57.8 million parameters."""
WORKS = {"training step": hold_step, "evaluation": hold_forward}


def measure_precisions(bench: Bench) -> Iterator[Row]:
    """Each work in float32, and in bfloat16 where the backend has it, in turn."""
    spec = load_spec(MODEL)
    for backend in bench.backends:
        kinds = [Precision.FLOAT32]
        if not missing_precision(backend, Precision.BFLOAT16):
            kinds.append(Precision.BFLOAT16)
        for what, hold in WORKS.items():
            with Worker(backend, bench.threads) as worker:
                for kind in kinds:
                    worker.run(hold, HoldArguments(kind.value, spec, VIDEOS, precision=kind))
                labels = {f"{what}, {backend}, {kind.value}": (worker, kind.value) for kind in kinds}
                times = dict(zip(kinds, bench.alternate(labels).values(), strict=True))
                for kind, seconds in times.items():
                    setting = f"{MODEL}, batch {VIDEOS}, {kind.value}"
                    of = ratio(seconds, times[Precision.FLOAT32])
                    yield Row("precision", what, backend, setting, median(seconds) * 1e3, "ms", "float32", of)
                worker.run(release, None)
