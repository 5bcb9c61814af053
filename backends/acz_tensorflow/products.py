"""Products in a low precision: operands are rounded, multiplied and summed in float32, and so are their gradients' operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow import Tensor

from acz.model.precision import Precision


def rounded(x: Tensor, low: Precision) -> Tensor:
    """x rounded to a low precision, in float32."""
    if low is Precision.TF32:  # half of the last place is added to the bits; to the even neighbour from the middle
        bits = tf.bitcast(x, tf.int32)
        even = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
        near = tf.bitcast(tf.bitwise.bitwise_and(bits + 0xFFF + even, ~0x1FFF), tf.float32)
        return tf.where(tf.math.is_finite(x), near, x)
    return tf.cast(tf.cast(x, low.value), tf.float32)


def operand(x: Tensor, low: Precision) -> Tensor:
    """A rounded operand, whose gradient passes unchanged."""

    @tf.custom_gradient
    def round_it(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return rounded(x, low), tf.identity

    return round_it(tf.convert_to_tensor(x))


def outcome(y: Tensor, low: Precision) -> Tensor:
    """A product as it is, whose gradient is rounded."""

    @tf.custom_gradient
    def keep(y: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return tf.identity(y), lambda gradient: rounded(gradient, low)

    return keep(y)


def product(x: Tensor, weight: Any, low: Precision | None, transpose_a: bool = False) -> Tensor:
    """x @ weight with operands in a precision; None leaves them as they are."""
    return bilinear(lambda x, weight: tf.matmul(x, weight, transpose_a=transpose_a), x, weight, low)


def bilinear(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Any, low: Precision | None) -> Tensor:
    """A function that is linear in each of two operands, as a product or a convolution, with both in a precision."""
    if low is None:
        return function(x, weight)
    return outcome(function(operand(x, low), operand(weight, low)), low)


def set_matrix_modes() -> None:
    """Let products and convolutions of float32 be products of float32, whatever was set before: a GPU rounds to TF32."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
