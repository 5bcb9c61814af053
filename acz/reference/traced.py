"""Arrays that note how they were computed, for gradients of the reference by one sweep backwards.

The reference's exact gradients are complex steps. Those of a low precision are no derivatives, since gradients are
rounded on their way; they need this sweep. A test compares it with the complex steps where nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from acz.foundation.arrays import Array

Backward = Callable[[Array], Sequence[Array | None]]


class Traced(NDArrayOperatorsMixin):
    """An array, its sources, and the function from its gradient to theirs."""

    __array_priority__ = 1000

    def __init__(self, value: Array, sources: Sequence[Any] = (), backward: Backward | None = None) -> None:
        self.value, self.sources, self.backward = value, sources, backward

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def real(self) -> Traced:
        return self

    @property
    def T(self) -> Traced:
        return np.swapaxes(self, 0, 1)  # type: ignore[call-overload]

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, key: Any) -> Traced:
        def backward(g: Array) -> list[Array | None]:
            whole = np.zeros_like(self.value)
            np.add.at(whole, key, g)
            return [whole]

        return Traced(self.value[key], [self], backward)

    def astype(self, dtype: Any, **named: Any) -> Traced:
        return Traced(self.value.astype(dtype), [self], lambda g: [g.astype(self.dtype)])

    def copy(self) -> Traced:
        return Traced(self.value.copy(), [self], lambda g: [g])

    def reshape(self, *shape: Any) -> Traced:
        return Traced(self.value.reshape(*shape), [self], lambda g: [g.reshape(self.shape)])

    def sum(self, axis: Any = None, keepdims: bool = False) -> Traced:
        def backward(g: Array) -> list[Array | None]:
            whole = g if keepdims or axis is None else np.expand_dims(g, axis)
            return [np.broadcast_to(whole, self.shape)]

        return Traced(np.asarray(self.value.sum(axis=axis, keepdims=keepdims)), [self], backward)

    def max(self, axis: Any = None, keepdims: bool = False) -> Traced:
        """The first of equal values has the gradient."""
        axes = tuple(range(self.ndim)) if axis is None else np.atleast_1d(axis) % self.ndim
        value = self.value.max(axis=axis, keepdims=keepdims)

        def backward(g: Array) -> list[Array | None]:
            ends = range(-len(axes), 0)
            moved = np.moveaxis(self.value, axes, ends)
            rows = moved.reshape(*moved.shape[: -len(axes)], -1)
            first = np.zeros_like(rows)
            np.put_along_axis(first, rows.argmax(-1)[..., None], 1, -1)
            chosen = np.moveaxis(first.reshape(moved.shape), ends, axes)
            return [chosen * (g if keepdims else np.expand_dims(g, tuple(axes)))]

        return Traced(value, [self], backward)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **named: Any) -> Any:
        values = [untraced(operand) for operand in operands]
        y = getattr(ufunc, method)(*values, **named)
        if ufunc.__name__ not in DERIVATIVES:
            return y if y.dtype == bool else NotImplemented
        return as_traced(y, operands, lambda g: DERIVATIVES[ufunc.__name__](g, y, *values))

    def __array_function__(self, function: Any, types: Any, arguments: Any, named: Any) -> Any:
        return FUNCTIONS[function.__name__](*arguments, **named)


def untraced(x: Any) -> Any:
    """The array of a traced one; anything else as it is."""
    return x.value if isinstance(x, Traced) else x


def as_traced(value: Array, operands: Sequence[Any], backward: Callable[[Array], Sequence[Any]]) -> Traced:
    """A result of operands, of which some are traced. Gradients are summed over axes that were broadcast."""

    def narrowed(g: Array) -> list[Array | None]:
        return [
            _narrow(of, operand.shape) if isinstance(operand, Traced) else None
            for of, operand in zip(backward(g), operands, strict=True)
        ]

    return Traced(np.asarray(value), operands, narrowed)


def _narrow(g: Array, shape: tuple[int, ...]) -> Array:
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)


def _where(condition: Any, x: Any, y: Any) -> Any:
    condition = untraced(condition)
    value = np.where(condition, untraced(x), untraced(y))
    return as_traced(value, (x, y), lambda g: (np.where(condition, g, 0), np.where(condition, 0, g)))


def _concatenate(parts: Sequence[Any], axis: int = 0) -> Any:
    values = [untraced(part) for part in parts]
    places = np.cumsum([value.shape[axis] for value in values])[:-1]
    return as_traced(np.concatenate(values, axis=axis), parts, lambda g: np.split(g, places, axis=axis))


def _swapaxes(x: Traced, first: int, second: int) -> Traced:
    return Traced(np.swapaxes(x.value, first, second), [x], lambda g: [np.swapaxes(g, first, second)])


def _moveaxis(x: Traced, source: int, destination: int) -> Traced:
    return Traced(np.moveaxis(x.value, source, destination), [x], lambda g: [np.moveaxis(g, destination, source)])


def _roll(x: Traced, shift: int, axis: int | None = None) -> Traced:
    return Traced(np.roll(x.value, shift, axis), [x], lambda g: [np.roll(g, -shift, axis)])


def _diagonal(x: Traced) -> Traced:
    """The diagonal of a matrix."""
    places = np.arange(min(x.shape))
    return x[places, places]


def _windows(x: Traced, window_shape: tuple[int, int], axis: tuple[int, int], **named: Any) -> Traced:
    """The windows (videos, channels, height, width, rows, columns) of images."""
    windows = np.lib.stride_tricks.sliding_window_view(x.value, window_shape, axis=axis)  # type: ignore[call-overload]

    def backward(g: Array) -> list[Array | None]:
        whole = np.zeros_like(x.value)
        height, width = g.shape[2:4]
        for row in range(window_shape[0]):
            for column in range(window_shape[1]):
                whole[:, :, row : row + height, column : column + width] += g[..., row, column]
        return [whole]

    return Traced(windows, [x], backward)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": _where,
    "concatenate": _concatenate,
    "swapaxes": _swapaxes,
    "moveaxis": _moveaxis,
    "roll": _roll,
    "sliding_window_view": _windows,
    "diagonal": _diagonal,
    "iscomplexobj": lambda x: False,
    "shape": lambda x: x.shape,
    "einsum": lambda how, x, w, **named: as_traced(
        np.einsum(how, untraced(x), untraced(w), **named),
        (x, w),
        lambda g: _of_einsum(how, g, untraced(x), untraced(w)),
    ),
}
"""NumPy's functions that the reference calls, by name."""


def _of_einsum(how: str, g: Array, x: Array, w: Array) -> tuple[Array, Array]:
    inputs, _, output = how.partition("->")
    left, _, right = inputs.partition(",")
    return np.einsum(f"{output},{right}->{left}", g, w), np.einsum(f"{left},{output}->{right}", x, g)


def _of_matmul(g: Array, y: Array, x: Array, w: Array) -> tuple[Array, Array]:
    if w.ndim == 2:
        return g @ w.T, x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])
    return g @ np.swapaxes(w, -1, -2), np.swapaxes(x, -1, -2) @ g


DERIVATIVES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "add": lambda g, y, a, b: (g, g),
    "subtract": lambda g, y, a, b: (g, -g),
    "multiply": lambda g, y, a, b: (g * b, g * a),
    "divide": lambda g, y, a, b: (g / b, -g * y / b),
    "negative": lambda g, y, a: (-g,),
    "power": lambda g, y, a, b: (g * b * a ** (b - 1), None),
    "square": lambda g, y, a: (2 * g * a,),
    "sqrt": lambda g, y, a: (g / (2 * y),),
    "exp": lambda g, y, a: (g * y,),
    "log": lambda g, y, a: (g / a,),
    "tanh": lambda g, y, a: (g * (1 - y * y),),
    "maximum": lambda g, y, a, b: (g * (a > b), g * (a <= b)),
    "minimum": lambda g, y, a, b: (g * (a < b), g * (a >= b)),
    "matmul": _of_matmul,
}
"""The functions of each element, and the matrix product: from the gradient of y to those of the operands."""


def sweep(result: Traced, wanted: Sequence[Traced]) -> list[Array]:
    """The gradients of a result by traced arrays; zeros where it does not depend on them."""
    order: list[Traced] = []
    seen: set[int] = set()
    stack: list[tuple[Traced, bool]] = [(result, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack += [(source, False) for source in node.sources if isinstance(source, Traced)]
    gradients: dict[int, Array] = {id(result): np.ones_like(result.value)}
    for node in reversed(order):
        g = gradients.get(id(node))
        if g is None or node.backward is None:
            continue
        for source, part in zip(node.sources, node.backward(g), strict=True):
            if isinstance(source, Traced) and part is not None:
                before = gradients.get(id(source))
                gradients[id(source)] = np.asarray(part if before is None else before + part)
    return [gradients.get(id(node), np.zeros_like(node.value)).astype(node.dtype) for node in wanted]
