"""Evaluation of a model on a split: every example counts once, whatever the batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from acz.backend import Backend
from acz.concurrency import ahead
from acz.data.features import Split
from acz.errors import CheckFailed
from acz.layers import Array
from acz.losses import Loss
from acz.metrics import Accuracy
from acz.spec import Spec

BATCH = 512


def padded(inputs: Mapping[str, Array], size: int) -> dict[str, Array]:
    """The inputs with empty videos added up to `size`: an output depends on no other video, and one shape compiles once."""
    return {
        name: np.concatenate([value, np.zeros((size - len(value), *value.shape[1:]), value.dtype)])
        if len(value) < size
        else value
        for name, value in inputs.items()
    }


def evaluate(
    backend: Backend,
    model: Any,
    spec: Spec,
    split: Split,
    loss: Loss | None,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """top1, top5, examples and loss of a model over a split.

    Raises CheckFailed where a logit is not finite.
    """
    accuracy = Accuracy(loss)
    size = min(batch_size, len(split))
    for examples in ahead(split.in_order(size, list(spec.inputs))):
        logits = backend.forward(model, padded(examples.inputs, size))["logits"][: len(examples.labels)]
        if not np.isfinite(logits).all():
            raise CheckFailed(f"the model gives NaN or infinity on example {examples.numbers[0]} or one soon after it")
        accuracy.update(logits, examples.labels)
        progress(len(examples.labels))
    return accuracy.result()
