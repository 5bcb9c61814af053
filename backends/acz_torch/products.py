"""Products in a low precision: operands are rounded, multiplied and summed in float32, and so are their gradients' operands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from acz.model.precision import Precision

LEAST_NUMBERS = 2**20
"""A product with fewer numbers in an operand gains nothing from a kernel of bfloat16."""


def rounded(x: Tensor, low: Precision) -> Tensor:
    """x rounded to a low precision, in float32."""
    if low is Precision.TF32:  # half of the last place is added to the bits; to the even neighbour from the middle
        bits = x.contiguous().view(torch.int32)
        even = bits.bitwise_right_shift(13).bitwise_and(1)
        near = (bits + 0xFFF + even).bitwise_and(~0x1FFF).view(torch.float32)
        return torch.where(torch.isfinite(x), near, x)
    return x.to(getattr(torch, low.value)).to(x.dtype)


class _Operand(torch.autograd.Function):
    """A rounded operand, whose gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Precision) -> Tensor:
        return rounded(x, low)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _Result(torch.autograd.Function):
    """A product as it is, whose gradient is rounded."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, low: Precision) -> Tensor:
        ctx.low = low
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return rounded(gradient, ctx.low), None


class _RoundedByKernel(torch.autograd.Function):
    """A large product whose kernel rounds the operands itself: they are read once, and only they are kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _by_kernel(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x = _by_kernel(gradient, weight.mT) if ctx.needs_input_grad[0] else None
        return of_x, _by_kernel(x.mT, gradient) if ctx.needs_input_grad[1] else None


def product(x: Tensor, weight: Tensor, low: Precision | None) -> Tensor:
    """x @ weight with operands in a precision; None leaves them as they are."""
    if low is None:
        return x @ weight
    if low is Precision.BFLOAT16 and x.ndim == weight.ndim <= 3 and _large(x, weight):
        return _RoundedByKernel.apply(x, weight)
    return bilinear(torch.matmul, x, weight, low)


def bilinear(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, low: Precision | None) -> Tensor:
    """A function that is linear in each of two operands, as a product or a convolution, with both in a precision."""
    if low is None:
        return function(x, weight)
    return _Result.apply(function(_Operand.apply(x, low), _Operand.apply(weight, low)), low)


def set_matrix_modes() -> None:
    """Let products and convolutions of float32 be products of float32, whatever was set before.

    A GPU's own convolutions otherwise round their operands to TF32. PyTorch has two interfaces for this; before 2.9 it has
    the older alone. They must say the same: exports read the older one, which else refuses to answer.
    """
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    cudnn.allow_tf32 = False  # first: it resets what the newer interface says
    if hasattr(cuda, "fp32_precision"):
        cuda.fp32_precision = "ieee"
        cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"
    else:
        cuda.allow_tf32 = False


@contextmanager
def _bfloat16_mode() -> Iterator[None]:
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"


def _by_kernel(x: Tensor, weight: Tensor) -> Tensor:
    places = _place_of(x), _place_of(weight)
    if None in places or not _rounds(tuple(x.shape), tuple(weight.shape), *places):
        return rounded(x, Precision.BFLOAT16) @ rounded(weight, Precision.BFLOAT16)
    with _bfloat16_mode():
        return x @ weight


def _place_of(x: Tensor) -> bool | None:
    """True where rows follow one another in memory, False where columns do, None for other strides."""
    return True if x.is_contiguous() else False if x.mT.is_contiguous() else None


def _large(x: Tensor, weight: Tensor) -> bool:
    """Tell whether a product is worth a kernel of its own, on a CPU whose PyTorch has the mode."""
    return (
        max(x.numel(), weight.numel()) >= LEAST_NUMBERS
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and hasattr(torch.backends.mkldnn, "matmul")
        and not torch.compiler.is_compiling()
    )


@cache
def _rounds(shape: tuple[int, ...], of_weight: tuple[int, ...], by_rows: bool, weight_by_rows: bool) -> bool:
    """Tell whether the kernel of two shapes rounds its operands: oneDNN may, and need not. Tried once, on numbers that show it."""
    x, weight = (
        torch.full(size, 1 + 2.0**-9) if rows else torch.full((*size[:-2], size[-1], size[-2]), 1 + 2.0**-9).mT
        for size, rows in ((shape, by_rows), (of_weight, weight_by_rows))
    )
    with torch.inference_mode(), _bfloat16_mode():
        y = x @ weight
    return bool((y == shape[-1]).all())
