"""Parameters of a spec: starting values, and checks of their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError, nearest
from acz.foundation.randomness import generator
from acz.model.spec import Spec


def initial_parameters(spec: Spec, seed: int = 0, dtype: Any = np.float32) -> dict[str, Array]:
    """Starting values of every parameter and statistic, the same in every backend."""
    return {
        path: p.initial(generator(seed, "initial", path), p.shape).astype(dtype) for path, p in spec.parameters.items()
    }


def check_parameters(spec: Spec, parameters: Mapping[str, Array]) -> None:
    """Raise SpecError unless `parameters` are exactly the spec's, each with its shape."""
    for path in parameters:
        if path not in spec.parameters:
            raise SpecError(f"the model has no parameter '{path}'; {nearest(path, spec.parameters)}")
    for path, p in spec.parameters.items():
        if path not in parameters:
            raise SpecError(f"parameter '{path}' is missing")
        if np.shape(parameters[path]) != p.shape:
            raise SpecError(f"parameter '{path}' must have the shape {p.shape}, got {np.shape(parameters[path])}")
