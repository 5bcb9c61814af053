"""Products of the reference in a low precision: operands are rounded, and so is the gradient that comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.randomness import generator
from acz.model.layers.base import multiply
from acz.model.precision import Precision
from acz.reference.bounds import MARGIN, ROUNDING
from acz.reference.traced import Traced, as_traced

UP, DOWN = 1, 2
"""Draws in which every operand is moved up, and down. In the later ones a random draw decides."""


@dataclass
class Products:
    """The products of one run: `multiply` of acz.model.layers.base with rounded operands.

    A product z = R(x) R(w), where R rounds, has the gradients R(g) R(w)^T of x and R(x)^T R(g) of w, where g is the
    gradient of z. They are no derivatives; this is their definition.

    An operand that lies near the middle of two neighbours may be rounded to either, by float32's own error. A draw
    moves every operand by that error before it is rounded.
    """

    precision: Precision
    draw: int = 0
    """The number of the draw; 0 moves nothing."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """float32's error of each operand, by its name."""
    operands: dict[str, Array] | None = None
    """Keeps operands by name before they are rounded, where it is a dictionary."""
    counts: dict[str, int] = field(default_factory=dict)
    """The number of products of each layer so far."""

    def __call__(self, path: str, x: Array, w: Array, how: str = "") -> Array:
        """Multiply x and w.

        Args:
            path: the layer's.
            x: an operand, perhaps traced.
            w: the other one.
            how: the subscripts of einsum; empty for a matrix product.
        """
        self.counts[path] = number = self.counts.get(path, 0) + 1
        name = f"{path}/{number}"
        a = self._rounded(f"{name}/0", x.value if isinstance(x, Traced) else x)
        b = self._rounded(f"{name}/1", w.value if isinstance(w, Traced) else w)
        z = multiply(path, a, b, how)
        if not isinstance(x, Traced) and not isinstance(w, Traced):
            return z

        def gradients(g: Array) -> tuple[Array, Array]:
            g = self._rounded(f"{name}/gradient", g)
            if how:
                inputs, _, output = how.partition("->")
                left, _, right = inputs.partition(",")
                return np.einsum(f"{output},{right}->{left}", g, b), np.einsum(f"{left},{output}->{right}", a, g)
            of_b = np.swapaxes(a, -1, -2) @ g
            if b.ndim == 2:
                of_b = a.reshape(-1, a.shape[-1]).T @ g.reshape(-1, g.shape[-1])
            return g @ np.swapaxes(b, -1, -2), of_b

        return as_traced(z, (x, w), gradients)

    def _rounded(self, name: str, x: Array) -> Array:
        if self.operands is not None:
            self.operands[name] = x
        if self.draw:
            largest = float(np.abs(x).max(initial=0.0, where=np.isfinite(x)))
            error = MARGIN * max(self.errors.get(name, 0.0), ROUNDING * largest)
            x = x + x.dtype.type(error) * self._signs(name, x)
        return self.precision.round(x)

    def _signs(self, name: str, x: Array) -> Array:
        if self.draw in (UP, DOWN):
            return np.full(x.shape, 1 if self.draw == UP else -1, x.dtype)
        return generator(4, "rounding", self.draw, name).integers(0, 2, x.shape).astype(x.dtype) * 2 - 1
