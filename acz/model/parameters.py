"""Parameters of a spec: their starting values, and a check of their names and shapes."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError, nearest
from acz.foundation.randomness import generator
from acz.model.spec import Spec


def initial_parameters(spec: Spec, seed: int = 0, dtype: Any = np.float32) -> dict[str, Array]:
    """Draw the starting values of every parameter and statistic. They are the same in every backend.

    Args:
        spec: the model.
        seed: keys the generators, together with each parameter's path.
        dtype: NumPy's type of the values.

    Returns:
        The values by path.
    """
    return {
        path: p.initial(generator(seed, "initial", path), p.shape).astype(dtype) for path, p in spec.parameters.items()
    }


def match_paths(pattern: str, paths: Iterable[str], place: str, kind: str = "parameter") -> list[str]:
    """Find the paths that a pattern matches.

    Args:
        pattern: a path, which may have the wildcards `*`, `?` and `[...]`. A wildcard matches dots too.
        paths: the paths to choose from.
        place: the setting that the pattern is from, for errors.
        kind: what the paths are, for errors.

    Raises:
        SpecError: the pattern matches no path. The message has the nearest path or pattern.
    """
    known = list(paths)
    matches = [path for path in known if fnmatch.fnmatchcase(path, pattern)]
    if not matches:
        groups = {f"{path.rpartition('.')[0]}.*" for path in known} | {f"{path.partition('.')[0]}.*" for path in known}
        raise SpecError(f"{place}: '{pattern}' matches no {kind}; {nearest(pattern, groups.union(known))}")
    return matches


def check_parameters(spec: Spec, parameters: Mapping[str, Array]) -> None:
    """Check that `parameters` have exactly the paths and shapes of the spec.

    Raises:
        SpecError: a parameter is missing or unknown, or has another shape.
    """
    for path in parameters:
        if path not in spec.parameters:
            raise SpecError(f"the model has no parameter '{path}'; {nearest(path, spec.parameters)}")
    for path, p in spec.parameters.items():
        if path not in parameters:
            raise SpecError(f"parameter '{path}' is missing")
        if np.shape(parameters[path]) != p.shape:
            raise SpecError(f"parameter '{path}' must have the shape {p.shape}, got {np.shape(parameters[path])}")
