"""Differences between values, and the bounds that they keep."""

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

LOW_DRAWS = 3
"""The draws that move the operands of a low precision: all up, all down, and at random."""
DRAWN = 4.0
"""A result in a low precision may be this many times as far from the exact one as a draw is, beside float32's bound."""


def difference(value: Array | None, reference: Array, scale: float | None = None) -> float:
    """The relative difference of a value: max |value - reference| / scale.

    Args:
        value: what is compared; None where it is missing.
        reference: what it should be.
        scale: by default the largest |reference|.

    Returns:
        The difference; infinity where a value is missing, has another shape, or is not finite.
    """
    if value is None or value.shape != reference.shape:
        return float("inf")
    if not (np.isfinite(value).all() and np.isfinite(reference).all()):
        return float("inf")
    if reference.size == 0:
        return 0.0
    if scale is None:
        scale = float(np.abs(reference).max()) or 1.0
    return float(np.abs(value.astype(np.float64) - reference.astype(np.float64)).max() / scale)


def perturbed(parameters: Mapping[str, Array], by: float = HALF_UNIT) -> dict[str, Array]:
    """Parameters with every number made larger or smaller by a share of itself; a random draw decides which.

    The reference's float64 result for them shows the effect of rounding on a result in which nearly equal numbers are
    subtracted. The reference's own float32 shows it too, but in a single draw, which may be small by chance.

    Args:
        parameters: arrays by path.
        by: the share.
    """
    ups = {
        path: generator(3, "parity", path).integers(0, 2, value.shape, np.int8) for path, value in parameters.items()
    }
    return {path: value * np.where(ups[path], 1 + by, 1 - by) for path, value in parameters.items()}


def float32_bound(own: float, least: float = ROUNDING) -> float:
    """The bound of a float32 result.

    Args:
        own: the reference's own difference, of its float32 from its float64 or by `perturbed` parameters.
        least: the smallest difference that counts.
    """
    return MARGIN * max(own, least)


def low_bound(own: float, drawn: float, least: float = ROUNDING) -> float:
    """The bound of a result in a low precision.

    Args:
        own: the reference's own difference in float32, where nothing is rounded to fewer bits.
        drawn: the largest difference of a draw, in which operands are moved by float32's error before they are rounded.
        least: the smallest difference of float32 that counts.
    """
    return float32_bound(own, least) + DRAWN * drawn


def worst(
    values: Mapping[str, Array],
    reference: Mapping[str, Array],
    bounds: Mapping[str, float] | float,
    scales: Mapping[str, float] | None = None,
) -> tuple[float, float, str]:
    """Compare values by name, in the reference's order.

    Args:
        values: what is compared.
        reference: what they should be.
        bounds: one bound for each name, or for all.
        scales: the scale of each difference; by default the reference's largest number.

    Returns:
        Difference, bound and name of the first value that exceeds its bound; else of the value nearest to its bound.
    """
    nearest = (float("inf"), 0.0, "nothing was compared")
    share = -1.0
    for name, value in reference.items():
        bound = bounds if isinstance(bounds, float) else bounds[name]
        measured = difference(values.get(name), value, None if scales is None else scales[name])
        if not measured <= bound or bound == float("inf"):
            return measured, bound, name
        used = measured / bound if bound else measured
        if used > share:
            share, nearest = used, (measured, bound, name)
    return nearest


def gradient_scales(reference: Mapping[str, Array], least_share: float) -> dict[str, float]:
    """The scale of each gradient's error: its largest number, or a share of the largest of all where that is more.

    A gradient that vanishes holds nothing but the rounding of the others.
    """
    sizes = {
        name: float(np.abs(value).max()) if value.size else 0.0 for name, value in reference.items() if name != "loss"
    }
    least = least_share * max(sizes.values(), default=0.0) or 1.0
    return {name: max(sizes.get(name, float(np.abs(value).max())), least) for name, value in reference.items()}
