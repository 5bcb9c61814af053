"""Samples that promises are checked on: a small model with a part for each promise, and scores that are hard to rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array, Arrays
from acz.model.optimizer import Adam
from acz.model.spec import Spec
from acz.reference.samples import Batch, Case

SPEC = Spec.from_dict(
    {
        "inputs": {"x": {"frames": 4, "features": 3}},
        "streams": {
            "x": {
                "input": "x",
                "layers": {"norm": {"type": "batch_norm"}, "pool": {"type": "attention_cluster", "units": 2}},
            }
        },
        "trunk": {"drop": {"type": "dropout", "rate": 0.5}, "last": {"type": "dense", "units": 5}},
        "output": "sigmoid",
    }
)
"""A small model with frames, statistics, dropout, and several labels for a video."""
SCORES = np.array([-90.0, -40, -17, -12, -5, 5, 12, 17, 40, 90])
"""Scores whose probabilities come ever nearer to 0 and 1; float32 rounds the first and the last to them."""
CASE = Case("contract", SPEC, "sigmoid_cross_entropy")
ADAM = Adam(learning_rate=0.1, weight_decay=1e-3)


def own_spec(layers: Mapping[str, Any], shape: Sequence[int], output: str = "none", trunk: Any = None) -> Spec:
    """A model whose last values are those of `x` after some layers, and one more of a stream that has a parameter.

    Some frameworks' modules need a parameter.
    """
    return Spec.from_dict(
        {
            "inputs": {"x": {"shape": list(shape)}, "one": {"shape": [1]}},
            "streams": {
                "x": {"input": "x", "layers": dict(layers)},
                "one": {"input": "one", "layers": {"last": {"type": "dense", "units": 1, "bias": False}}},
            },
            "trunk": trunk or {},
            "output": output,
        }
    )


def scores_spec(output: str) -> Spec:
    """A model whose logits are its input, or probabilities of it."""
    sigmoid = {"last": {"type": "activation", "function": "sigmoid"}}
    return own_spec({}, [2], output, sigmoid if output == "probabilities" else {})


def ready(backend: Backend, precision: str = "float32", case: Case = CASE, device: str = "CPU") -> Any:
    """A model of the backend with the case's parameters."""
    model = backend.build(case.spec, device, precision)
    backend.load_parameters(model, floats(case.parameters, precision))
    return model


def started(backend: Backend, case: Case) -> tuple[Batch, Any]:
    """A batch of the case, and a trainer at its start, in float64."""
    return case.batch("plain"), backend.start_training(ready(backend, "float64", case), ADAM, case.loss)


def floats(arrays: Mapping[str, Array], precision: str) -> Arrays:
    """The arrays with floats in a precision, and the others as they are."""
    return {name: value.astype(precision) if value.dtype.kind == "f" else value for name, value in arrays.items()}


def same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """True where both have the same names, shapes, types and bits."""
    return set(one) == set(other) and all(
        (one[name].dtype, one[name].shape, one[name].tobytes()) == (value.dtype, value.shape, value.tobytes())
        for name, value in other.items()
    )


def hostile_scores() -> Iterator[tuple[str, Array, int]]:
    """Name, scores float32 (videos, classes), and how many of the best are wanted."""
    source = np.random.default_rng(0)
    yield "random", source.random((6, 3862), np.float32), 20
    yield "all equal", np.full((3, 100), 0.25, np.float32), 20
    yield "zeros", np.zeros((2, 3862), np.float32), 20
    few = source.integers(0, 4, (40, 300)).astype(np.float32) / 4
    yield "ties over the edge", few, 20
    yield "a tie in one video alone", np.concatenate([source.random((5, 300), np.float32), few[:1]]), 20
    signs = np.where(source.random((20, 64)) < 0.5, np.float32(-0.0), np.float32(0.0))
    signs[:, ::7] = source.integers(-1, 2, (20, 10))
    yield "zeros of both signs", signs, 20
    yield "fewer classes than wanted", few[:, :7], 7
    yield "one class", few[:, :1], 1
    yield "the best alone", few, 1
    yield "all of them", few[:, :30], 30
    yield "huge", source.choice(np.array([-3e38, 3e38, 1e38], np.float32), (8, 50)), 20
    yield "negative", -few, 5
