"""Metrics of given videos, and videos to compute them of."""

from __future__ import annotations

from typing import Any

import numpy as np

from acz.evaluation.metrics import Ties, YouTube8MMetrics
from acz.foundation.arrays import Array


def of(classes: int, top_k: int, ties: Ties, *batches: tuple[Array, ...]) -> dict[str, Any]:
    metrics = YouTube8MMetrics(classes, top_k, ties)
    for scores, labels, *loss in batches:
        metrics.update(scores, labels, loss=loss[0] if loss else None)
    return metrics.result()


def videos_of(seed: int, videos: int, classes: int, values: int, density: float = 0.2) -> tuple[Array, Array]:
    """Scores of `values` different numbers, some below 0, and labels."""
    source = np.random.default_rng(seed)
    scores = (source.integers(0, values, (videos, classes)) - values // 4).astype(np.float32) / np.float32(values)
    return scores, (source.random((videos, classes)) < density).astype(np.uint8)


def identical(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
