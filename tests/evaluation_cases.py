"""Evaluations as jobs of any backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.folder import Split
from acz.evaluation.metrics import YouTube8MMetrics
from acz.evaluation.scoring import evaluate_by_class
from acz.foundation.arrays import Arrays
from acz.model.checkpoint import save_checkpoint
from acz.model.losses import LOSSES
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.zoo.config import load_spec
from tests.conftest import TINY

SETS = ("--set", "model.trunk.logits.units=3", "--set", "data.reading.classes=3")
"""Makes youtube8m/frame_average a model of three classes."""


def small_checkpoint(path: Path) -> Path:
    """A frame average of three classes, in a file outside of any run."""
    spec = load_spec("youtube8m/frame_average", {"model.trunk.logits.units": 3})
    save_checkpoint(path, spec, initial_parameters(spec, 0, np.dtype(np.float32)))
    return path


@dataclass(frozen=True)
class EvaluateArguments:
    """A data set, and the sizes of batches."""

    data: Path
    sizes: list[int]


@dataclass(frozen=True)
class Evaluated:
    """Figures for each size of batch, NumPy's figures, and the shapes of the arrays that leave the device."""

    found: list[dict[str, Any]]
    wanted: dict[str, Any]
    left: dict[str, tuple[int, ...]]


def model_of(backend: Any, **changes: Any) -> tuple[Any, Spec]:
    """The tiny model of several labels, with weights that are not small."""
    spec = load_spec(TINY, {"model.output": "sigmoid", **changes})
    model = backend.build(spec, "CPU", "float32")
    start = initial_parameters(spec, 1, np.dtype(np.float32))
    backend.load_parameters(model, {path: value * np.float32(3) for path, value in start.items()})
    return model, spec


def evaluate_job(backend: Any, arguments: EvaluateArguments, arrays: Any) -> tuple[Evaluated, Arrays]:
    """A job: figures of the split in batches of each size, and those of NumPy's selection from whole outputs.

    Also the count of numbers that left the device for a video.
    """
    model, spec = model_of(backend)
    split = Split(arguments.data, "test")
    by_size = []
    for size in arguments.sizes:
        figures, by_class = evaluate_by_class(backend, model, spec, split, LOSSES["sigmoid_cross_entropy"], size)
        assert by_class is not None
        by_size.append(figures | {"average_precision": by_class.tolist()})
    whole = YouTube8MMetrics(spec.width)
    for examples in split.in_order(arguments.sizes[-1], ["features"]):
        whole.update(backend.forward(model, examples.inputs)["output"], examples.labels, examples.numbers)
    wanted = whole.result()
    wanted = {name: wanted[name] for name in by_size[0] if name in wanted}
    wanted["average_precision"] = wanted["average_precision"].tolist()
    batch = next(iter(split.in_order(4, ["features"])))
    left = backend.forward_best(model, batch.inputs, {"output": 2, "logits": 1}, batch.labels, "sigmoid_cross_entropy")
    return Evaluated(by_size, wanted, {name: value.shape for name, value in left.items()}), {}


def not_finite_job(backend: Any, arguments: None, arrays: Any) -> tuple[list[bool], Arrays]:
    """A job: the values of `finite` for videos with infinity and NaN among others."""
    model, _ = model_of(backend)
    features = np.ones((4, 5, 4), np.float32)
    features[1, 0, 0], features[3, 4, 3] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        return backend.forward_best(model, {"features": features}, {"output": 2})["finite"].tolist(), {}
