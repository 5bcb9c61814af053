"""Directions in the space of a model's parameters, along which gradients are compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.randomness import generator, keep_mask
from acz.model.spec import Spec

SEED = 0
SECOND = ", second"
"""The end of the name of a parameter's second direction.

The derivative along one direction may vanish by chance; so the larger of two is the scale of both.
"""
TOGETHER = "all"
"""The name of the directions through all trained parameters at once."""
ROWS = 2**22
"""Numbers of a direction that are multiplied at once."""


def directions(spec: Spec) -> dict[str, tuple[str, ...]]:
    """The parameters that each direction changes, by its name: two directions within each, and two through all."""
    paths = {path: (path,) for path in spec.trained} | {TOGETHER: tuple(spec.trained)}
    return {name + end: changed for name, changed in paths.items() for end in ("", SECOND)}


def signs(direction: str, path: str, shape: tuple[int, ...]) -> Array:
    """A direction within a parameter: 1 or -1 for each number, as int8. Equal on every machine."""
    kept = keep_mask(generator(SEED, "direction", direction, path), shape, 0.5)
    return kept.astype(np.int8) * np.int8(2) - np.int8(1)


def along(direction: str, paths: tuple[str, ...], gradients: Mapping[str, Array]) -> float:
    """The derivative along a direction that gradients give, summed in float64; NaN where a gradient is missing."""
    total = 0.0
    for path in paths:
        if path not in gradients:
            return float("nan")
        gradient = np.asarray(gradients[path])
        flat, chosen = gradient.reshape(-1), signs(direction, path, gradient.shape).reshape(-1)
        for start in range(0, flat.size, ROWS):
            part = slice(start, start + ROWS)
            total += float(flat[part].astype(np.float64) @ chosen[part].astype(np.float64))
    return total
