"""The jobs of a report in a backend's worker: predictions and attention of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, PlainSerializer, PlainValidator

from acz.backend.devices import check_device
from acz.backend.protocol import Backend
from acz.data.base import Data, require_labels
from acz.data.batching import BATCH, padded
from acz.data.registry import open_split, reading_from_dict, reading_to_dict
from acz.evaluation.metrics import YouTube8MMetrics
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.prefetch import prefetch
from acz.model.checkpoint import load_checkpoint
from acz.model.spec import Spec
from acz.studies.reports.attention import compute_attention

COUNTS = ("right", "false", "missed")

Reading = Annotated[
    BaseModel,
    PlainValidator(lambda value: value if isinstance(value, BaseModel) else reading_from_dict(value)),
    PlainSerializer(reading_to_dict),
]
"""The reading of any data set. Its serial form names the data set."""


@dataclass(frozen=True)
class SplitRequest:
    """A checkpoint, the split that it predicts, the reading of that split, and the device. Paths are absolute."""

    checkpoint: Path
    data: Path
    split: str
    reading: Reading
    device: str


@dataclass(frozen=True)
class PredictArguments:
    """A range of videos: `start` .. `stop` - 1."""

    request: SplitRequest
    start: int
    stop: int


@dataclass(frozen=True)
class AttentionArguments:
    """Videos by number."""

    request: SplitRequest
    numbers: list[int]


OPENED: dict[SplitRequest, tuple[Any, Spec, Data]] = {}
"""The model and the split of the last job, kept for the next one."""


def _open(backend: Backend, request: SplitRequest) -> tuple[Any, Spec, Data]:
    if request in OPENED:
        return OPENED[request]
    OPENED.clear()
    check_device(backend, request.device)
    checkpoint = load_checkpoint(request.checkpoint)
    split = open_split(request.data, request.split, request.reading)
    split.require(checkpoint.spec)
    model = backend.build(checkpoint.spec, request.device, "float32")
    backend.load_parameters(model, {path: np.asarray(v, np.float32) for path, v in checkpoint.parameters.items()})
    OPENED[request] = model, checkpoint.spec, split
    return OPENED[request]


def predict_videos(backend: Backend, arguments: PredictArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: predict a range of videos, in batches of one shape. `predict` describes the arrays."""
    model, spec, split = _open(backend, arguments.request)
    starts = range(arguments.start, arguments.stop, BATCH)
    numbers = [np.arange(start, min(start + BATCH, arguments.stop)) for start in starts]
    size = min(BATCH, len(split))
    labels, best = [], []
    counts, metrics = {name: np.zeros(spec.width, np.int64) for name in COUNTS}, YouTube8MMetrics(spec.width)
    for examples in prefetch(split.take(batch, list(spec.inputs)) for batch in numbers):
        require_labels(split, examples.labels)
        output = backend.forward(model, padded(examples.inputs, size))["output"][: len(examples.labels)]
        if examples.labels.ndim == 1:
            labels.append(examples.labels)
            best.append(output.argmax(axis=1))
            continue
        # a class that nobody rated counts as one that is neither predicted nor there
        output, known = np.where(examples.labels >= 0, output, 0), np.maximum(examples.labels, 0)
        predicted, true = output >= 0.5, known > 0
        counts["right"] += (predicted & true).sum(axis=0)
        counts["false"] += (predicted & ~true).sum(axis=0)
        counts["missed"] += (~predicted & true).sum(axis=0)
        metrics.update(output, known, examples.numbers)
    if labels:
        return None, {"labels": np.concatenate(labels), "best": np.concatenate(best)}
    return None, counts | metrics.arrays()


def record_attention(
    backend: Backend, arguments: AttentionArguments, arrays: Mapping[str, Array]
) -> tuple[None, Arrays]:
    """A job: compute outputs (videos, classes), and attention weights by layer."""
    model, spec, split = _open(backend, arguments.request)
    output, weights = compute_attention(backend, model, spec, split, arguments.numbers)
    return None, {"output": output, **weights}
