"""Parts of the layers in MindSpore: a layer in place, what a run shares, and the functions that several use.

Written for eager and for graph mode, which reads this source and is functional: a layer changes nothing but its
statistics. On a CPU MindSpore is fast on equal shapes and on rows (two axes), and ten times as slow where it broadcasts
or reduces more axes: hence `bias_add`, `tile` and the reshaping to rows. Gradients of `ops.matmul` take twice the time
of `ops.MatMul`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from acz.foundation.errors import MissingError
from acz.model.layers.normalize import BatchNormSettings
from acz.model.spec import PlacedLayer
from acz_mindspore.processes import Total

Call = tuple[Tensor | None, Mapping[str, Tensor] | None, bool]
"""The data that the layers share in one run. Valid frames, bool (videos, frames); and dropout masks by path. No masks: the
framework draws its own; a path that is missing drops nothing. True where batch norms take the statistics of all processes."""


LOW = {"fp16": ms.float16, "bf16": ms.bfloat16}
"""The low types of MindSpore's mixed precision, by the flags that `to_float` sets on each cell."""


class Mixed(nn.Cell):
    """A cell that computes in float32 where MindSpore's mixed precision asks for a low type, which goes to `Product` alone.

    In half precision softmax over masked frames would overflow, normalisation would divide by zero, and the statistics of
    batch norm would lose their digits.
    """

    def add_flags(self, **flags: Any) -> nn.Cell:
        if LOW.keys() & flags.keys():
            flags = {**flags, "fp16": False, "bf16": False, "fp32": True}
        return super().add_flags(**flags)


class Product(nn.Cell):
    """A product of two tensors, in the low type where MindSpore's mixed precision asks for one."""

    low: Any = None

    def add_flags(self, **flags: Any) -> nn.Cell:
        if LOW.keys() & flags.keys():
            self.low = next((dtype for flag, dtype in LOW.items() if flags.get(flag)), None)
            check_low(self.low)
        return super().add_flags(**flags)

    def construct(self, operation: Any, a: Tensor, b: Tensor) -> Tensor:
        low = b.dtype if self.low is None else self.low
        return operation(as_type(a, low), as_type(b, low))


def check_low(dtype: Any) -> None:
    """Raises MissingError where MindSpore has no products in a low type."""
    if dtype == ms.bfloat16 and ms.get_context("device_target") == "CPU":
        raise MissingError("MindSpore computes no products in bfloat16 on a CPU; use mindspore.float16")


class Tanh(Mixed):
    """tanh = (e - 1) / (e + 1), e = exp(2x), for float32 on a CPU: MindSpore's own is 1e-4 off there."""

    def construct(self, x: Tensor) -> Tensor:
        e = ops.expm1(ops.clamp(x, -10.0, 10.0) * 2.0)
        return e * ops.reciprocal(e + 2.0)

    def bprop(self, x: Tensor, y: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (gradient * (1.0 - y * y),)


class Layer(Mixed):
    """A layer in place. Its parameters are registered under the spec's names, as zeros.

    Called with an array and a Call; gives its output, or a tuple of inner values, as they are recorded, and the output.
    """

    def __init__(self, placed: PlacedLayer, dtype: Any) -> None:
        super().__init__(auto_prefix=False)
        self.path, self.settings, self.bag = placed.path, placed.layer, placed.bag
        self.low: Any = None  # what multiplies, where products are in a lower precision than the parameters
        self.on_cpu = ms.get_context("device_target") == "CPU"
        self.tanh, self.product, self.total = Tanh(), Product(), Total()
        for name, parameter in placed.parameters.items():
            *parents, last = name.split(".")
            home: nn.Cell = self
            for parent in parents:
                if not hasattr(home, parent):
                    home.insert_child_to_cell(parent, nn.Cell(auto_prefix=False))
                home = getattr(home, parent)
            value, path = ops.zeros(parameter.shape, dtype), f"{placed.path}.{name}"
            home.insert_param_to_cell(last, Parameter(value, path, requires_grad=parameter.role == "trained"))

    def construct(self, x: Tensor, call: Call) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no construct")


def number(value: float, like: Tensor) -> Tensor:
    """A constant in full precision: MindSpore takes a Python number as float32, and computes with it so in a graph."""
    return Tensor(value, like.dtype)


@ops.constexpr
def rest(value: float, dtype: Any) -> Tensor:
    """1 - value in full precision, also in a graph."""
    return Tensor(1.0 - value, dtype)


def apply(layer: Layer, function: str | None, x: Tensor) -> Tensor:
    if function == "relu":
        return ops.relu(x)
    if function == "relu6":
        return ops.clamp(x, 0.0, 6.0)
    if function == "tanh":
        return tanh(layer, x)
    return ops.sigmoid(x) if function == "sigmoid" else x


def tanh(layer: Layer, x: Tensor) -> Tensor:
    return layer.tanh(x) if layer.on_cpu and x.dtype == ms.float32 else ops.tanh(x)


def softmax(x: Tensor) -> Tensor:
    """Over the last axis. MindSpore's own is 2e-6 off on a CPU where the values are nearly equal, and in some graphs the
    gradient of what lies before it is wrong by a share of its size, in both precisions (of a bag behind two batch norms)."""
    e = ops.expm1(x - ops.stop_gradient(x.max(-1, keepdims=True))) + 1.0
    return e / e.sum(-1, keepdims=True)


def sigmoid(x: Tensor) -> Tensor:
    """For outputs; MindSpore's own is 8e-7 off in float32 on a CPU."""
    if x.dtype != ms.float32:
        return ops.sigmoid(x)
    return ops.reciprocal(ops.expm1(-ops.clamp(x, -88.0, 88.0)) + 2.0)  # beyond, exp overflows in the gradient


def log_softmax(x: Tensor) -> Tensor:
    """MindSpore's own computes in float32; and its exp in float32 is 5e-6 off on a CPU, where expm1 is exact.

    Its log in float32 has other last bits where it is computed in other blocks, whose size the first calls choose by time.
    """
    x = x - ops.stop_gradient(x.max(-1, keepdims=True))
    return x - ops.log1p((ops.expm1(x) + 1.0).sum(-1, keepdims=True) - 1.0)


def as_type(value: Tensor, dtype: Any) -> Tensor:
    return value if value.dtype == dtype else value.astype(dtype)  # astype takes its time even where it does nothing


def product(layer: Layer, operation: Any, a: Tensor, b: Tensor) -> Tensor:
    """A product of two tensors, in the first one's type."""
    if layer.low is not None:
        return layer.low(operation, a, b)
    return as_type(layer.product(operation, a, b), a.dtype)


def pooled(a: Tensor, x: Tensor) -> Tensor:
    """Sums over the frames, a (videos, rows, frames) by x (videos, frames, features): never in a low type.

    Where a sum is zero, the gradient of its normalisation is a million, which half precision does not hold.
    """
    return as_type(ops.BatchMatMul()(a, x), x.dtype)


def weighted(layer: Layer, a: Tensor, x: Tensor) -> Tensor:
    """Sums over the frames by learned weights, which are products as all others in a low precision."""
    return pooled(a, x) if layer.low is None else layer.low(ops.BatchMatMul(), a, x)


def linear(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = product(layer, ops.MatMul(), x.reshape((-1, x.shape[-1])), weight)
    if bias is not None:
        y = ops.bias_add(y, as_type(bias, y.dtype))
    return y.reshape((*x.shape[:-1], weight.shape[1]))


def off_diagonal(weight: Tensor) -> Tensor:
    """A square matrix with zeros on its diagonal."""
    size = weight.shape[0]
    return weight * (1.0 - ops.eye(size, size, weight.dtype))


def drop(layer: Layer, x: Tensor, rate: float, call: Call, name: str = "") -> Tensor:
    if not layer.training or rate == 0.0:
        return x
    masks = call[1]
    if masks is None:
        return ops.dropout2d(x, rate) if getattr(layer.settings, "over", "") == "channels" else ops.dropout(x, rate)
    mask = masks.get(f"{layer.path}.{name}" if name else layer.path)
    return x if mask is None else x * (mask.astype(x.dtype) * ops.reciprocal(rest(rate, x.dtype)))


def l2_normalize(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    rows = x.reshape((-1, x.shape[-1]))
    size = ops.maximum((rows * rows).sum(-1, keepdims=True), number(epsilon, x))
    return (rows * ops.tile(ops.rsqrt(size), (1, x.shape[-1]))).reshape(x.shape)


def batch_norm(layer: Layer, home: Any, settings: BatchNormSettings, x: Tensor, call: Call) -> Tensor:
    """Over all axes but the last; `home` holds weight, bias and the running statistics."""
    mean, variance = as_type(home.running_mean, x.dtype), as_type(home.running_variance, x.dtype)
    weight, bias = as_type(home.weight, x.dtype), as_type(home.bias, x.dtype)
    rows = x.reshape((-1, x.shape[-1]))
    if layer.training:
        if call[2]:
            count, mean, variance = shared_statistics(layer, rows, call[0] if x.ndim == 3 else None)
        elif call[0] is not None and x.ndim == 3:
            valid = ops.tile(call[0].reshape((-1, 1)).astype(x.dtype), (1, x.shape[-1]))
            count = ops.maximum(valid.sum(0), 1.0)
            mean = (rows * valid).sum(0) / count
            variance = (ops.square(ops.bias_add(rows, -mean)) * valid).sum(0) / count
        else:
            count = ops.full_like(mean, float(rows.shape[0]))
            mean = rows.mean(0)
            variance = ops.square(ops.bias_add(rows, -mean)).mean(0)
        correction = count / ops.maximum(count - 1.0, 1.0) if settings.variance == "unbiased" else 1.0
        decay, new = number(settings.decay, x), rest(settings.decay, x.dtype)
        estimate = ops.stop_gradient(variance * correction)
        ops.assign(home.running_mean, home.running_mean * decay + ops.stop_gradient(mean) * new)
        ops.assign(home.running_variance, home.running_variance * decay + estimate * new)
    y = ops.bias_add(rows, -mean) * (ops.rsqrt(variance + number(settings.epsilon, x)) * weight)
    return ops.bias_add(y, bias).reshape(x.shape)


def shared_statistics(layer: Layer, rows: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The count, mean and variance of the valid rows of all processes: first the mean, then the deviations from it."""
    features = rows.shape[1]
    if mask is None:
        counted = ops.cat((ops.full_like(rows[0], float(rows.shape[0])), rows.sum(0)), 0)
        valid = None
    else:
        valid = ops.tile(mask.reshape((-1, 1)).astype(rows.dtype), (1, features))
        counted = ops.cat((valid.sum(0), (rows * valid).sum(0)), 0)
    counted = layer.total(counted).reshape((2, features))
    count = ops.maximum(counted[0], 1.0)
    mean = counted[1] / count
    squares = ops.square(ops.bias_add(rows, -mean))
    if valid is not None:
        squares = squares * valid
    return count, mean, layer.total(squares.sum(0)) / count
