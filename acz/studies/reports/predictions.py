"""What checkpoints make of a data set, each computed by a backend in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from acz.backend.worker import Worker
from acz.evaluation.metrics import YouTube8MMetrics
from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz.studies.reports.jobs import (
    COUNTS,
    LookArguments,
    PredictArguments,
    PredictionRequest,
    look_at_videos,
    predict_videos,
)

SLICE = 4096
"""Videos of one job, so that progress is seen."""

SMALL = 2e11
"""Multiplications that NumPy is asked for without a word: some seconds."""


def choose_backend(wanted: str | None, of_run: str, spec: Spec, videos: int) -> str:
    """The backend asked for; else NumPy, which is always there, where the work is small, and the run's own where it is not."""
    return wanted or ("numpy" if multiplications(spec) * videos <= SMALL else of_run)


def multiplications(spec: Spec) -> int:
    """About how many one video costs: each weight at each frame or pixel, and each weighted sum over the frames."""
    total = 0
    for placed in spec.layout:
        weights = sum(p.size for p in placed.parameters.values())
        if len(placed.input_shape) == 3:
            total += weights * prod(placed.output_shape[1:])
        elif len(placed.input_shape) == 2:
            total += placed.input_shape[0] * (weights + prod(placed.output_shape))
        else:
            total += weights
    return total


def predict(
    worker: Worker, request: PredictionRequest, count: int, progress: Callable[[int], None]
) -> dict[str, Array]:
    """`labels` and `best` (videos), the class of the highest output; or, where a video has several labels, by class: `right`, `false`
    and `missed`, how often an output of at least 0.5 agrees with the label, `videos` that have it, and `average_precision`.

    Raises JobFailed, WorkerDied.
    """
    parts: list[dict[str, Array]] = []
    for start in range(0, count, SLICE):
        stop = min(start + SLICE, count)
        parts.append(worker.run(predict_videos, PredictArguments(request, start, stop))[1])
        progress(stop)
    if "best" in parts[0]:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    classes = len(parts[0]["right"])
    metrics = YouTube8MMetrics(classes)
    for part in parts:
        metrics.merge(YouTube8MMetrics.of_arrays(part, classes))
    counts = {name: np.sum([part[name] for part in parts], axis=0) for name in COUNTS}
    return counts | {"videos": metrics.positives, "average_precision": metrics.result()["average_precision"]}


def look_at(worker: Worker, request: PredictionRequest, numbers: Sequence[int]) -> tuple[Array, dict[str, Array]]:
    """`attention.look` in a worker. Raises JobFailed, WorkerDied."""
    _, weights = worker.run(look_at_videos, LookArguments(request, list(numbers)))
    output = weights.pop("output")
    return output, weights
