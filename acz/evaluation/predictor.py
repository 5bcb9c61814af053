"""A predictor: a model that gives the best classes of a batch, in a backend or in a file's own runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from acz.backend.build import build_model
from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.model.checkpoint import Checkpoint
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.reference.ranking import top_classes


class Best(NamedTuple):
    """The best classes of a batch."""

    scores: Array
    """(videos, count), in any order."""
    classes: Array
    """(videos, count), the class of each score."""
    finite: Array
    """bool (videos), true where the whole output of a video is finite."""


@dataclass(frozen=True)
class Predictor:
    """A model that is loaded and can predict."""

    spec: Spec
    best: Callable[[Mapping[str, Array], int], Best]
    """`best(inputs, count)`: a batch of inputs by name to the `count` best classes of each video."""


def select_best(output: Array, count: int) -> Best:
    """Select the `count` best classes of an output (videos, classes), for runtimes without a selection."""
    finite = np.isfinite(output).all(axis=1)
    classes, scores = top_classes(np.where(finite[:, None], output, 0), count)
    return Best(scores, classes, finite)


@contextmanager
def model_predictor(
    backend: Backend, checkpoint: Checkpoint, device: str, threads: int, precision: Precision = Precision.FLOAT32
) -> Iterator[Predictor]:
    """Load a checkpoint's model in a backend, in this process."""
    backend.set_threads(threads)
    model = build_model(backend, checkpoint.spec, checkpoint.parameters, device, precision)

    def best(inputs: Mapping[str, Array], count: int) -> Best:
        selected = backend.forward_best(model, inputs, {"output": count})
        return Best(selected["output"], selected["output.classes"], selected["finite"])

    yield Predictor(checkpoint.spec, best)
