"""The weighted mean of the weights of several checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Arrays
from acz.foundation.errors import SpecError
from acz.model.checkpoint import Checkpoint, require_spec


def average_weights(checkpoints: Sequence[tuple[Checkpoint, Path]], weights: Sequence[float] | None = None) -> Arrays:
    """Average parameters and statistics by path: the sum of weight * value / sum of weights, in float64.

    Running variances are averaged as numbers. A mean of one checkpoint has its bits.

    Args:
        checkpoints: checkpoints of one model, with their files for messages.
        weights: the weight of each. None: all have the same.

    Raises:
        SpecError: the weights are not positive numbers, one for each checkpoint, or a fixed parameter differs.
        CheckpointError: the checkpoints are of several models.
    """
    shares = list(weights or [1.0] * len(checkpoints))
    if len(shares) != len(checkpoints) or not all(math.isfinite(share) and share > 0 for share in shares):
        raise SpecError(f"weights (--weights) must be {len(checkpoints)} positive numbers, one for each checkpoint")
    first, _ = checkpoints[0]
    means: Arrays = {}
    for checkpoint, path in checkpoints:
        require_spec(checkpoint, first.spec, path)
    for name, value in first.parameters.items():
        values = [checkpoint.parameters[name] for checkpoint, _ in checkpoints]
        if first.spec.parameters[name].role == "fixed":
            for other, (_, path) in zip(values, checkpoints, strict=True):
                if not np.array_equal(other, value):
                    raise SpecError(f"{path}: {name} is fixed, and has other values than in {checkpoints[0][1]}")
            means[name] = value
            continue
        total = sum(share * one.astype(np.float64) for share, one in zip(shares, values, strict=True))
        means[name] = np.asarray(total / math.fsum(shares)).astype(np.result_type(*values))
    return means
