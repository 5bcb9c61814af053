"""Products in a low precision: operands are rounded, multiplied and summed in float32, and so are their gradients' operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
from paddle import Tensor
from paddle.autograd import PyLayer

from acz.model.precision import Precision


def rounded(x: Tensor, low: Precision) -> Tensor:
    """x rounded to a low precision, in float32."""
    if low is Precision.TF32:  # half of the last place is added to the bits; to the even neighbour from the middle
        bits = x.contiguous().view("int32")
        even = paddle.bitwise_and(paddle.bitwise_right_shift(bits, paddle.full_like(bits, 13)), paddle.ones_like(bits))
        near = paddle.bitwise_and(bits + 0xFFF + even, paddle.full_like(bits, ~0x1FFF)).view("float32")
        return paddle.where(paddle.isfinite(x), near, x)
    return x.astype(low.value).astype(x.dtype)


class _Operand(PyLayer):
    """A rounded operand, whose gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Precision) -> Tensor:
        return rounded(x, low)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Outcome(PyLayer):
    """A product as it is, whose gradient is rounded."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, low: Precision) -> Tensor:
        ctx.low = low
        return y.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return rounded(gradient, ctx.low)


def product(x: Tensor, weight: Tensor, low: Precision | None, transpose_x: bool = False) -> Tensor:
    """x @ weight with operands in a precision; None leaves them as they are."""
    return bilinear(lambda x, weight: paddle.matmul(x, weight, transpose_x=transpose_x), x, weight, low)


def bilinear(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, low: Precision | None) -> Tensor:
    """A function that is linear in each of two operands, as a product or a convolution, with both in a precision."""
    if low is None:
        return function(x, weight)
    return _Outcome.apply(function(_Operand.apply(x, low), _Operand.apply(weight, low)), low)
