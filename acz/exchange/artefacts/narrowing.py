"""Weights that a file stores in fewer bits and gives back as float32: halves, or codes of a codebook.

A runtime computes in float32 with exactly these weights, so the reference with the same weights is what it must equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from acz.foundation.arrays import Array
from acz.model.spec import Spec

LEAST_NARROWED = 1024
"""Smaller arrays stay float32: a codebook alone takes as many bytes as 256 numbers."""
CODES = 256
BINS = 2**16
"""Values are sorted into this many bins, whose means a codebook is made of."""
ROUNDS = 25
"""Rounds of k-means."""


@dataclass(frozen=True)
class Stored:
    """An array as a file holds it."""

    values: Array
    """float16, or the codes, uint8."""
    codebook: Array | None = None
    """The value of each code, float32; None for float16."""

    def restored(self) -> Array:
        """The weights that a runtime computes with, float32."""
        return self.values.astype(np.float32) if self.codebook is None else self.codebook[self.values]


def narrowed_paths(spec: Spec) -> list[str]:
    """Paths of the large trained arrays. Vectors, tables, running statistics and small arrays stay float32."""
    return [
        path
        for path, p in spec.parameters.items()
        if p.role == "trained" and len(p.shape) > 1 and p.size >= LEAST_NARROWED
    ]


def narrow(spec: Spec, parameters: Mapping[str, Array], weights: str) -> dict[str, Stored]:
    """Store the large trained arrays of a model in fewer bits.

    Args:
        spec: the model.
        parameters: arrays by path.
        weights: `float32`, `float16` or `uint8`, as in Form.

    Returns:
        The arrays by path, without those that stay.
    """
    if weights == "float32":
        return {}
    store = to_float16 if weights == "float16" else to_codes
    return {path: store(np.asarray(parameters[path], np.float32)) for path in narrowed_paths(spec)}


def restored(parameters: Mapping[str, Array], stored: Mapping[str, Stored]) -> dict[str, Array]:
    """The parameters that a runtime computes with, from those of a checkpoint and those that are stored in fewer bits."""
    return {path: stored[path].restored() if path in stored else value for path, value in parameters.items()}


def to_float16(value: Array) -> Stored:
    """Round to float16. A number beyond its range becomes its largest."""
    most = np.finfo(np.float16).max
    return Stored(np.clip(value, -most, most).astype(np.float16))


def to_codes(value: Array) -> Stored:
    """Replace each number by the nearest of 256 values.

    The values are those of three codebooks that lose least, in squares: equal steps between the smallest and the
    largest number, quantiles, or k-means that begins with the quantiles.
    """
    flat = value.reshape(-1).astype(np.float64)
    means, counts = _histogram(flat)
    candidates = (_equal_steps(means), _quantiles(means, counts), _k_means(means, counts))
    codebook = min(candidates, key=lambda candidate: _loss(means, counts, candidate)).astype(np.float32)
    codes = _nearest(codebook.astype(np.float64), flat).astype(np.uint8)
    return Stored(codes.reshape(value.shape), codebook)


def _histogram(values: Array) -> tuple[Array, Array]:
    """The mean and the count of each bin that holds a number, in rising order. The ends are bins of their own."""
    low, high = values.min(), values.max()
    inner = np.clip((values - low) / max(high - low, np.finfo(np.float64).tiny) * BINS, 0, BINS - 1).astype(np.int64)
    bins = np.where(values == low, 0, np.where(values == high, BINS + 1, inner + 1))
    counts = np.bincount(bins, minlength=BINS + 2)
    sums = np.bincount(bins, weights=values, minlength=BINS + 2)
    held = counts > 0
    return sums[held] / counts[held], counts[held].astype(np.float64)


def _equal_steps(means: Array) -> Array:
    return np.linspace(means[0], means[-1], CODES)


def _quantiles(means: Array, counts: Array) -> Array:
    """The values at the middles of 256 equal shares of the numbers."""
    below = np.cumsum(counts)
    places = np.searchsorted(below, (np.arange(CODES) + 0.5) / CODES * below[-1])
    return np.asarray(means[np.minimum(places, len(means) - 1)])


def _k_means(means: Array, counts: Array) -> Array:
    """Move each value to the mean of the numbers that are nearest to it, several times. One without numbers stays."""
    codebook = _quantiles(means, counts)
    for _ in range(ROUNDS):
        codes = _nearest(codebook, means)
        weight = np.bincount(codes, weights=counts, minlength=CODES)
        total = np.bincount(codes, weights=counts * means, minlength=CODES)
        codebook = np.sort(np.where(weight > 0, total / np.maximum(weight, 1), codebook))
    return codebook


def _nearest(codebook: Array, values: Array) -> Array:
    """The place of the nearest value of a rising codebook."""
    return np.searchsorted((codebook[1:] + codebook[:-1]) / 2, values)


def _loss(means: Array, counts: Array, codebook: Array) -> float:
    return float((counts * (means - codebook[_nearest(codebook, means)]) ** 2).sum())
