"""Measures, bounds and rows: what one comparison gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.randomness import generator

FLOAT64 = 1e-10
"""Only the same function stays within this, relative to the reference's largest value."""
MARGIN = 16.0
"""A float32 result may be this many times as far from float64 as the reference's own float32 is."""
ROUNDING = 2.0**-23
"""The least float32-to-float64 difference that counts: one unit in the last place."""
HALF_UNIT = 2.0**-24
"""Half a unit in the last place of float32: what rounding a number once may change."""
GRADIENT_ROUNDING = 8 * ROUNDING
"""The same for gradients: complex steps never subtract what nearly cancels, the frameworks' reverse sweeps do."""


def difference(found: Array | None, reference: Array, scale: float | None = None) -> float:
    """max |found - reference| / max |reference|; infinite where a value is missing, of another shape, or not finite."""
    if (
        found is None
        or found.shape != reference.shape
        or not (np.isfinite(found).all() and np.isfinite(reference).all())
    ):
        return float("inf")
    if reference.size == 0:
        return 0.0
    if scale is None:
        scale = float(np.abs(reference).max()) or 1.0
    return float(np.abs(found.astype(np.float64) - reference.astype(np.float64)).max() / scale)


def perturbed(parameters: Mapping[str, Array], by: float = HALF_UNIT) -> dict[str, Array]:
    """Parameters of which each number is larger or smaller by a share of itself, by a draw of its own.

    What the reference gives with them, in float64, is what rounding may do to a result in which nearly equal numbers are
    subtracted. The reference's own float32 shows the same, but of a few equal videos in one draw only, which may be small by chance.
    """
    ups = {
        path: generator(3, "parity", path).integers(0, 2, value.shape, np.int8) for path, value in parameters.items()
    }
    return {path: value * np.where(ups[path], 1 + by, 1 - by) for path, value in parameters.items()}


def float32_bound(own: float, least: float = ROUNDING) -> float:
    """The bound that follows from the reference's own difference: of float32 from float64, or by `perturbed` parameters."""
    return MARGIN * max(own, least)


def worst(
    found: Mapping[str, Array],
    reference: Mapping[str, Array],
    bounds: Mapping[str, float] | float,
    scales: Mapping[str, float] | None = None,
) -> tuple[float, float, str]:
    """Compare by name, in the reference's order: measured, bound and name of the first that leaves its bound, or of the one
    nearest to it."""
    nearest = (float("inf"), 0.0, "nothing was compared")
    share = -1.0
    for name, value in reference.items():
        bound = bounds if isinstance(bounds, float) else bounds[name]
        measured = difference(found.get(name), value, None if scales is None else scales[name])
        if not measured <= bound or bound == float("inf"):
            return measured, bound, name
        used = measured / bound if bound else measured
        if used > share:
            share, nearest = used, (measured, bound, name)
    return nearest


def gradient_scales(reference: Mapping[str, Array], least_share: float) -> dict[str, float]:
    """The scale of each gradient's error: its largest value, or `least_share` of the largest of all where that is
    more, since a gradient that vanishes leaves nothing but the rounding of the others."""
    sizes = {
        name: float(np.abs(value).max()) if value.size else 0.0 for name, value in reference.items() if name != "loss"
    }
    least = least_share * max(sizes.values(), default=0.0) or 1.0
    return {name: max(sizes.get(name, float(np.abs(value).max())), least) for name, value in reference.items()}
