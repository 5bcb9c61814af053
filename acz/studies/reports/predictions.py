"""Predictions and attention of checkpoints, computed by backends in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from acz.backend.registry import REFERENCE
from acz.backend.worker import Worker
from acz.evaluation.metrics import YouTube8MMetrics
from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz.studies.reports.jobs import (
    COUNTS,
    AttentionArguments,
    PredictArguments,
    SplitRequest,
    predict_videos,
    record_attention,
)

SLICE = 4096
"""Videos of one job. Progress is shown after each job."""

SMALL = 2e11
"""Multiplications that NumPy does by default. They take some seconds."""


def choose_backend(named: str | None, of_run: str, spec: Spec, videos: int) -> str:
    """Choose what computes predictions: the named backend, or else NumPy for little work and the run's own for much.

    Args:
        named: The name that the user gave, if any.
        of_run: The name of the run's own backend.
        spec: The model.
        videos: The number of videos to predict.
    """
    return named or (REFERENCE if multiplications(spec) * videos <= SMALL else of_run)


def multiplications(spec: Spec) -> int:
    """Estimate the multiplications for one video.

    A weight counts once a frame or pixel; so does each element of a weighted sum over frames.
    """
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


def predict(worker: Worker, request: SplitRequest, count: int, progress: Callable[[int], None]) -> dict[str, Array]:
    """Predict the first `count` videos of a split.

    Args:
        worker: The process of a backend.
        request: The checkpoint and the split.
        count: The number of videos, at least one.
        progress: Called with the number of videos that are done.

    Returns:
        For videos of one class: `labels` and `best`, both (videos). `best` is the class of the highest output.
        For videos of several labels, arrays (classes): `right`, `false` and `missed` count labels at an output of 0.5;
        `videos` counts the videos of the label; `average_precision` is that of the outputs.

    Raises:
        JobFailed: The checkpoint or the data cannot be used.
        WorkerDied: The process ended.
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


def predict_attention(worker: Worker, request: SplitRequest, numbers: Sequence[int]) -> tuple[Array, dict[str, Array]]:
    """Run `attention.compute_attention` in a worker. Raises JobFailed, WorkerDied."""
    _, weights = worker.run(record_attention, AttentionArguments(request, list(numbers)))
    output = weights.pop("output")
    return output, weights
