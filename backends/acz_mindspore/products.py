"""Products in a low precision: operands are rounded, multiplied and summed in float32, and so are their gradients' operands."""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from acz.model.precision import Precision


class Operand(nn.Cell):
    """A rounded operand, whose gradient passes unchanged."""

    def __init__(self, low: Precision) -> None:
        super().__init__(auto_prefix=False)
        self.type = getattr(ms, low.value)

    def construct(self, x: Tensor) -> Tensor:
        return x.astype(self.type).astype(ms.float32)

    def bprop(self, x: Tensor, y: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (gradient,)


class Outcome(nn.Cell):
    """A product as it is, whose gradient is rounded."""

    def __init__(self, low: Precision) -> None:
        super().__init__(auto_prefix=False)
        self.type = getattr(ms, low.value)

    def construct(self, y: Tensor) -> Tensor:
        return y * 1.0

    def bprop(self, y: Tensor, same: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (gradient.astype(self.type).astype(ms.float32),)


class Rounded(nn.Cell):
    """An operation that is linear in each of two operands, as a product or a convolution, with both in a low precision."""

    def __init__(self, low: Precision) -> None:
        super().__init__(auto_prefix=False)
        self.precision, self.operand, self.outcome = low, Operand(low), Outcome(low)

    def construct(self, operation: Any, a: Tensor, b: Tensor) -> Tensor:
        return self.outcome(operation(self.operand(a), self.operand(b)))
