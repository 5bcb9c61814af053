"""What checkpoints make of a data set, each computed by a backend in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from acz.backend.devices import check_device
from acz.backend.protocol import Backend
from acz.backend.registry import find_backend
from acz.backend.worker import Worker
from acz.data.base import Data
from acz.data.batching import BATCH, padded
from acz.data.registry import open_split, reading_from_dict, reading_to_dict
from acz.evaluation.metrics import YouTube8MMetrics
from acz.foundation.arrays import Array
from acz.foundation.processes.prefetch import prefetch
from acz.model.checkpoint import load_checkpoint
from acz.model.spec import Spec
from acz.studies.reports.attention import look

SLICE = 4096
"""Videos of one job, so that progress is seen."""

COUNTS = ("right", "false", "missed")

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


@dataclass(frozen=True)
class Asked:
    """A checkpoint, the split of a data set that it is asked about, how the data are read, and where it runs."""

    checkpoint: Path
    data: Path
    split: str
    reading: BaseModel
    device: str

    def arguments(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.checkpoint.resolve()),
            "data": str(self.data.resolve()),
            "split": self.split,
            "reading": json.dumps(reading_to_dict(self.reading)),
            "device": self.device,
        }


def predict(worker: Worker, asked: Asked, count: int, progress: Callable[[int], None]) -> dict[str, Array]:
    """`labels` and `best` (videos), the class of the highest output; or, where a video has several labels, by class: `right`, `false`
    and `missed`, how often an output of at least 0.5 agrees with the label, `videos` that have it, and `average_precision`.

    Raises JobFailed, WorkerDied.
    """
    parts: list[dict[str, Array]] = []
    for start in range(0, count, SLICE):
        stop = min(start + SLICE, count)
        parts.append(
            worker.run(
                "acz.studies.reports.predictions:predict_job", asked.arguments() | {"start": start, "stop": stop}
            )[1]
        )
        progress(stop)
    if "best" in parts[0]:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    classes = len(parts[0]["right"])
    metrics = YouTube8MMetrics(classes)
    for part in parts:
        metrics.merge(YouTube8MMetrics.of_arrays(part, classes))
    counts = {name: np.sum([part[name] for part in parts], axis=0) for name in COUNTS}
    return counts | {"videos": metrics.positives, "average_precision": metrics.result()["average_precision"]}


def look_at(worker: Worker, asked: Asked, numbers: Sequence[int]) -> tuple[Array, dict[str, Array]]:
    """`video.look` in a worker. Raises JobFailed, WorkerDied."""
    found = worker.run("acz.studies.reports.predictions:look_job", asked.arguments() | {"numbers": list(numbers)})[1]
    output = found.pop("output")
    return output, found


@lru_cache(maxsize=1)
def _loaded(
    backend_name: str, checkpoint: str, data: str, split: str, reading: str, device: str
) -> tuple[Any, Spec, Data]:
    backend = find_backend(backend_name)
    check_device(backend, device)
    kept = load_checkpoint(checkpoint)
    examples = open_split(Path(data), split, reading_from_dict(json.loads(reading)))
    examples.require(kept.spec)
    model = backend.build(kept.spec, device, "float32")
    backend.load_parameters(model, {path: np.asarray(v, np.float32) for path, v in kept.parameters.items()})
    return model, kept.spec, examples


def _load(backend: Backend, arguments: Mapping[str, Any]) -> tuple[Any, Spec, Data]:
    return _loaded(backend.NAME, *(arguments[key] for key in ("checkpoint", "data", "split", "reading", "device")))


def predict_job(backend: Backend, arguments: Any, arrays: Any) -> tuple[Any, dict[str, Array]]:
    """A job: the videos `start` .. `stop` - 1, in batches of one shape."""
    model, spec, split = _load(backend, arguments)
    stop = arguments["stop"]
    numbers = [np.arange(at, min(at + BATCH, stop)) for at in range(arguments["start"], stop, BATCH)]
    size = min(BATCH, len(split))
    labels, best = [], []
    counts, metrics = {name: np.zeros(spec.width, np.int64) for name in COUNTS}, YouTube8MMetrics(spec.width)
    for examples in prefetch(split.take(batch, list(spec.inputs)) for batch in numbers):
        output = backend.forward(model, padded(examples.inputs, size))["output"][: len(examples.labels)]
        if examples.labels.ndim == 1:
            labels.append(examples.labels)
            best.append(output.argmax(axis=1))
            continue
        seen, true = output >= 0.5, examples.labels > 0
        counts["right"] += (seen & true).sum(axis=0)
        counts["false"] += (seen & ~true).sum(axis=0)
        counts["missed"] += (~seen & true).sum(axis=0)
        metrics.update(output, examples.labels, examples.numbers)
    if labels:
        return {}, {"labels": np.concatenate(labels), "best": np.concatenate(best)}
    return {}, counts | metrics.arrays()


def look_job(backend: Backend, arguments: Any, arrays: Any) -> tuple[Any, dict[str, Array]]:
    """A job: outputs and attention of the videos `numbers`."""
    model, spec, split = _load(backend, arguments)
    output, weights = look(backend, model, spec, split, arguments["numbers"])
    return {}, {"output": output, **weights}
