"""The groups of benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from acz.studies.benchmarks.circulant import measure_circulant
from acz.studies.benchmarks.commands import measure_start, measure_training
from acz.studies.benchmarks.features import measure_reading
from acz.studies.benchmarks.measure import Bench, Row
from acz.studies.benchmarks.metrics import measure_metrics
from acz.studies.benchmarks.precisions import measure_precisions
from acz.studies.benchmarks.processes import measure_processes
from acz.studies.benchmarks.steps import measure_inference, measure_loop, measure_steps
from acz.studies.benchmarks.vlad import measure_vlad
from acz.studies.benchmarks.youtube8m import measure_youtube8m
from acz.studies.benchmarks.zoo import measure_zoo

GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "loop": measure_loop,
    "step": measure_steps,
    "train": measure_training,
    "inference": measure_inference,
    "circulant": measure_circulant,
    "data": measure_reading,
    "youtube8m": measure_youtube8m,
    "metrics": measure_metrics,
    "vlad": measure_vlad,
    "zoo": measure_zoo,
    "precision": measure_precisions,
    "processes": measure_processes,
    "start": measure_start,
}
