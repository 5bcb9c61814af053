"""A checkpoint's model as a predictor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acz.evaluation.inference import Best, Predict
    from acz.foundation.arrays import Array
    from acz.model.spec import Spec


@contextmanager
def model_predictor(checkpoint: Any, name: str, device: str, threads: int) -> Iterator[tuple[Spec, Predict]]:
    """A checkpoint's model in a backend, in this process."""
    from acz.backend.build import build
    from acz.backend.registry import find_backend
    from acz.evaluation.inference import Best

    found = find_backend(name)
    found.set_threads(threads)
    model = build(checkpoint.spec, name, checkpoint.parameters, device)

    def predict(inputs: Mapping[str, Array], count: int) -> Best:
        best = found.forward_best(model, inputs, {"output": count})
        return Best(best["output"], best["output.classes"], best["finite"])

    yield checkpoint.spec, predict
