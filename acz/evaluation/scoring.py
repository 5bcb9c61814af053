"""Evaluation of a model, or of a file of predictions, on a split. Every example counts once, for every batch size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.data.base import Data, require_labels
from acz.data.batching import BATCH, padded
from acz.evaluation.merging import merge_ranks
from acz.evaluation.metrics import NOTHING, Accuracy, YouTube8MMetrics, best_first
from acz.evaluation.metrics.figures import SEVERAL_LABELS
from acz.evaluation.metrics.rated import RatedPairs
from acz.evaluation.prediction_reader import read_predictions
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, DataError
from acz.foundation.processes.group import Group
from acz.foundation.processes.prefetch import prefetch
from acz.model.losses import UNRATED, Loss
from acz.model.spec import Spec

MOST_CLASSES = 2**16
"""The most classes that a file of predictions can bring with it."""


def evaluate(
    backend: Backend,
    model: Any,
    spec: Spec,
    split: Data,
    loss: Loss | None,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda done: None,
    group: Group | None = None,
) -> dict[str, float]:
    """Compute the figures of a model over a split.

    Args:
        backend: the backend of `model`.
        model: a model of the backend.
        spec: the spec of `model`.
        split: the examples.
        loss: the loss to compute, or None for none.
        batch_size: the number of videos of a batch.
        progress: is told the number of videos of each finished batch.
        group: the processes that share the split. Each gets the same figures, to the last bit those of one process.

    Returns:
        top1, top5, examples and loss; and hit_at_1, perr, map and gap where videos have several labels.

    Raises:
        CheckFailed: a logit is not finite.
    """
    return evaluate_by_class(backend, model, spec, split, loss, batch_size, progress, group)[0]


def evaluate_by_class(
    backend: Backend,
    model: Any,
    spec: Spec,
    split: Data,
    loss: Loss | None,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda done: None,
    group: Group | None = None,
) -> tuple[dict[str, float], Array | None]:
    """Compute the figures of `evaluate` and those of each class.

    Where the examples are rated, MAP@K is computed of the rated pairs, and not what needs all labels of a video.
    The second value is the average precision of each class, (classes), where videos have several labels, else None. Where
    several processes share the split, rank 0 alone has it.
    Only the best classes of each video leave the device, not the scores of all classes.
    """
    group = group or Group(0, 1)
    batches: list[Accuracy] = []
    metrics, pairs = YouTube8MMetrics(spec.width), RatedPairs()
    size = min(batch_size, len(split))
    for examples in prefetch(split.in_order(size, list(spec.inputs))):
        require_labels(split, examples.labels)
        labels, counts = examples.labels, {"logits": min(5, spec.width)}
        if examples.rated:
            counts["output"] = spec.width
        elif several_labels(spec, labels):
            counts["output"] = min(_enough(labels, metrics.top_k), spec.width)
        outputs = backend.forward_best(
            model, padded(examples.inputs, size), counts, labels, loss.name if loss else None
        )
        outputs = {name: value[: len(labels)] if value.ndim else value for name, value in outputs.items()}
        if not outputs["finite"].all():
            bad = examples.numbers[int(outputs["finite"].argmin())]
            raise CheckFailed(f"the model gives NaN or infinity on example {bad} ({split.folder}, {split.name})")
        best = best_first(outputs["logits"], outputs["logits.classes"])[1]
        batch = Accuracy()
        batch.update(best, labels, None if loss is None else float(outputs["loss"]))
        batches.append(batch)
        if examples.rated:
            whole = np.empty_like(outputs["output"])
            np.put_along_axis(whole, outputs["output.classes"].astype(np.int64), outputs["output"], axis=1)
            pairs.update(whole, labels, examples.numbers)
        elif "output" in counts:
            metrics.update_top(outputs["output"], outputs["output.classes"], labels, examples.numbers)
        progress(len(labels) * group.world)
    accuracy, metrics = merge_ranks(batches, metrics, pairs, group)
    figures, by_class = _with_several_labels(accuracy.result(), metrics, pairs) if group.rank == 0 else ({}, None)
    return json.loads(group.broadcast(json.dumps(figures).encode())), by_class


def _enough(labels: Array, least: int) -> int:
    """The number of best classes that the figures need: the most labels of a video, rounded up.

    The sizes are few, because a model compiles again for each.
    """
    most = int((labels > 0).sum(axis=1).max(initial=1)) if labels.ndim == 2 else 1
    while least < most:
        least *= 2
    return least


def several_labels(spec: Spec, labels: Array) -> bool:
    """True where videos may have any number of labels. The metrics of YouTube-8M then apply."""
    return spec.output == "sigmoid" or labels.ndim == 2


def _with_several_labels(
    figures: dict[str, float], metrics: YouTube8MMetrics | None, pairs: RatedPairs
) -> tuple[dict[str, float], Array | None]:
    """Add the figures of `metrics`, and the average precision of each class, where `metrics` has videos; or of `pairs`."""
    if len(pairs):
        return figures | {"map_at_k": pairs.result()}, None
    if metrics is None or len(metrics) == 0:
        return figures, None
    result = metrics.result()
    return figures | {name: result[name] for name in SEVERAL_LABELS}, result["average_precision"]


def score_predictions(
    path: Path, split: Data, progress: Callable[[int], None] = lambda done: None, widen: bool = False
) -> tuple[dict[str, float], Array | None, int]:
    """Compute the figures of a file of predictions against the labels of a split. Videos are matched by id.

    A label that the file does not list has the score 0.

    Args:
        path: the file: npz, JSON lines or CSV.
        split: the examples.
        progress: is told the number of videos of each finished batch.
        widen: let the figures have enough classes for those of the file, where it names more than the labels have.

    Returns:
        The figures, with top5 where the file lists five labels; the average precision of each class, (classes), where
        videos have several labels; and the most labels that the file lists of a video.

    Raises:
        DataError: a video of the file is not in the split, or a video of the split is not in the file.
    """
    parts = list(read_predictions(path))
    width = max((part.labels.shape[1] for part in parts), default=0)
    place = {name: number for number, name in enumerate(name for part in parts for name in part.ids)}
    classes = np.concatenate([_widened(part.labels, width, NOTHING) for part in parts] or [np.empty((0, 0), np.int64)])
    scores = np.concatenate([_widened(part.scores, width, 0) for part in parts] or [np.empty((0, 0))])
    del parts
    highest = int(classes.max(initial=NOTHING))
    metrics: YouTube8MMetrics | None = None
    accuracy, pairs = Accuracy(), RatedPairs()
    for examples in prefetch(split.in_order(BATCH, [])):
        require_labels(split, examples.labels)
        ids = split.ids(examples.numbers)
        missing = [name for name in ids if name not in place]
        if missing:
            raise DataError(f"{path} has no prediction for video {missing[0]!r}, or the data set has it twice")
        rows = np.array([place.pop(name) for name in ids])
        own_scores, own_classes = best_first(scores[rows], classes[rows])
        labels = examples.labels
        if labels.ndim == 2:
            width_of_labels = labels.shape[1]
            if widen and width_of_labels <= highest < MOST_CLASSES:
                width_of_labels = highest + 1
            if (beyond := own_classes >= width_of_labels).any():
                row = int(beyond.any(axis=1).argmax())
                raise DataError(
                    f"{path}: video {ids[row]!r} has the label {own_classes[row].max()}; the data set has the classes "
                    f"0 .. {width_of_labels - 1}"
                )
            labels = _widened(labels, width_of_labels, UNRATED if examples.rated else 0)
            if examples.rated:
                pairs.update(_dense(own_scores, own_classes, width_of_labels), labels, examples.numbers)
            else:
                metrics = metrics or YouTube8MMetrics(width_of_labels)
                metrics.update_top(own_scores, own_classes, labels, examples.numbers)
        accuracy.update(own_classes, labels)
        progress(len(ids))
    if place:
        raise DataError(
            f"{path} predicts {len(place):,} videos that are not in the data set, such as {next(iter(place))!r}"
        )
    figures = accuracy.result()
    if width < 5:
        del figures["top5"]  # too few labels are listed
    return *_with_several_labels(figures, metrics, pairs), width


def _dense(scores: Array, classes: Array, width: int) -> Array:
    """The scores of all classes, (videos, classes); 0 for those that are not listed."""
    dense = np.zeros((len(scores), width + 1), scores.dtype)
    np.put_along_axis(dense, np.where(classes == NOTHING, width, classes), scores, axis=1)
    return dense[:, :width]


def _widened(values: Array, width: int, filler: float) -> Array:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=filler)
