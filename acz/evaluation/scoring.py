"""Evaluation of a model on a split: every example counts once, whatever the batch size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.data.base import Data
from acz.data.batching import BATCH, padded
from acz.evaluation.metrics import NOTHING, Accuracy, YouTube8MMetrics, best_first
from acz.evaluation.metrics.figures import SEVERAL_LABELS
from acz.evaluation.predictions import read_predictions
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, DataError
from acz.foundation.processes.prefetch import prefetch
from acz.model.losses import Loss
from acz.model.spec import Spec


def evaluate(
    backend: Backend,
    model: Any,
    spec: Spec,
    split: Data,
    loss: Loss | None,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """top1, top5, examples and loss of a model over a split; hit_at_1, perr, map and gap too where videos have several labels.

    Raises CheckFailed where a logit is not finite.
    """
    return evaluate_by_class(backend, model, spec, split, loss, batch_size, progress)[0]


def evaluate_by_class(
    backend: Backend,
    model: Any,
    spec: Spec,
    split: Data,
    loss: Loss | None,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, float], Array | None]:
    """What `evaluate` gives, and the average precision of each class, (classes), where videos have several labels.

    From the device come the best classes of each video, not the scores of all.
    """
    accuracy = Accuracy()
    several = YouTube8MMetrics(spec.width)
    size = min(batch_size, len(split))
    for examples in prefetch(split.in_order(size, list(spec.inputs))):
        labels, counts = examples.labels, {"logits": min(5, spec.width)}
        if several_labels(spec, labels):
            counts["output"] = min(_enough(labels, several.top_k), spec.width)
        found = backend.forward_best(model, padded(examples.inputs, size), counts, labels, loss.name if loss else None)
        found = {name: value[: len(labels)] if value.ndim else value for name, value in found.items()}
        if not found["finite"].all():
            bad = examples.numbers[int(found["finite"].argmin())]
            raise CheckFailed(f"the model gives NaN or infinity on example {bad} ({split.folder}, {split.name})")
        best = best_first(found["logits"], found["logits.classes"])[1]
        accuracy.update(best, labels, None if loss is None else float(found["loss"]))
        if "output" in counts:
            several.update_top(found["output"], found["output.classes"], labels, examples.numbers)
        progress(len(labels))
    return _with_several(accuracy.result(), several)


def _enough(labels: Array, least: int) -> int:
    """How many of the best classes tell the figures: as many as a video has labels, in few sizes, each of which compiles once."""
    most = int((labels > 0).sum(axis=1).max(initial=1)) if labels.ndim == 2 else 1
    while least < most:
        least *= 2
    return least


def several_labels(spec: Spec, labels: Array) -> bool:
    """Whether videos may have any number of labels: then YouTube-8M's metrics say how good a model is."""
    return spec.output == "sigmoid" or labels.ndim == 2


def _with_several(figures: dict[str, float], several: YouTube8MMetrics) -> tuple[dict[str, float], Array | None]:
    if len(several) == 0:
        return figures, None
    found = several.result()
    return figures | {name: found[name] for name in SEVERAL_LABELS}, found["average_precision"]


def score_predictions(
    path: Path, split: Data, progress: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, float], Array | None]:
    """The figures of a file of predictions, npz or CSV, against the labels of a split, by id; and those of each class.

    top1, and top5 where the file lists five labels, count the listed ones; a label that is not listed has the score 0.
    Raises DataError where a video of one is not in the other.
    """
    parts = list(read_predictions(path))
    width = max((part.labels.shape[1] for part in parts), default=0)
    place = {name: number for number, name in enumerate(name for part in parts for name in part.ids)}
    classes = np.concatenate([_widened(part.labels, width, NOTHING) for part in parts] or [np.empty((0, 0), np.int64)])
    scores = np.concatenate([_widened(part.scores, width, 0) for part in parts] or [np.empty((0, 0))])
    del parts
    several: YouTube8MMetrics | None = None
    accuracy = Accuracy()
    for examples in prefetch(split.in_order(BATCH, [])):
        ids = split.ids(examples.numbers)
        missing = [name for name in ids if name not in place]
        if missing:
            raise DataError(f"{path} has no prediction for video {missing[0]!r}, or the data set has it twice")
        rows = np.array([place.pop(name) for name in ids])
        own_scores, own_classes = best_first(scores[rows], classes[rows])
        if examples.labels.ndim == 2:
            several = several or YouTube8MMetrics(examples.labels.shape[1])
            several.update_top(own_scores, own_classes, examples.labels, examples.numbers)
        accuracy.update(own_classes, examples.labels)
        progress(len(ids))
    if place:
        raise DataError(f"{path} predicts {len(place):,} videos that the data set has not, as {next(iter(place))!r}")
    figures = accuracy.result()
    if width < 5:
        del figures["top5"]  # the labels listed do not tell
    return _with_several(figures, several) if several else (figures, None)


def _widened(values: Array, width: int, filler: float) -> Array:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=filler)
