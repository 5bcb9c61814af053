"""A predictor: a model that gives the best classes of a batch, whatever computes it."""

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
from acz.model.spec import Spec
from acz.reference.ranking import top_classes


class Best(NamedTuple):
    """The best classes of a batch."""

    scores: Array
    """(videos, count), in any order."""
    classes: Array
    """(videos, count), the class of each score."""
    finite: Array
    """Bool (videos): true where a video's whole output is finite."""


@dataclass(frozen=True)
class Predictor:
    """A model that is open."""

    spec: Spec
    best: Callable[[Mapping[str, Array], int], Best]
    """Takes a batch of inputs by name and a count; gives the `count` best classes of each video."""


def select_best(output: Array, count: int) -> Best:
    """The best classes of a whole output (videos, classes), for a runtime that has no selection."""
    finite = np.isfinite(output).all(axis=1)
    classes, scores = top_classes(np.where(finite[:, None], output, 0), count)
    return Best(scores, classes, finite)


@contextmanager
def model_predictor(backend: Backend, checkpoint: Checkpoint, device: str, threads: int) -> Iterator[Predictor]:
    """A checkpoint's model in a backend, in this process."""
    backend.set_threads(threads)
    model = build_model(backend, checkpoint.spec, checkpoint.parameters, device)

    def best(inputs: Mapping[str, Array], count: int) -> Best:
        selected = backend.forward_best(model, inputs, {"output": count})
        return Best(selected["output"], selected["output.classes"], selected["finite"])

    yield Predictor(checkpoint.spec, best)
