"""Parts of the layers in PaddlePaddle: a layer in place, what a run shares, and the functions that several use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.utils import unique_name

from acz.foundation.arrays import Shape
from acz.model.layers.base import Role
from acz.model.layers.normalize import BatchNormSettings
from acz.model.precision import Precision
from acz.model.spec import PlacedLayer
from acz_paddle.processes import TotalOfProcesses
from acz_paddle.products import product


@dataclass
class Call:
    """The data that the layers share in one run: valid frames, dropout masks, records."""

    mask: Tensor | None = None  # bool (videos, frames)
    dropout: dict[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)
    shared: bool = False
    """True in a step that all processes share, each with its part of the videos."""


WIDE = {paddle.float16: paddle.float32, paddle.bfloat16: paddle.float32}
"""The precision in which sums, norms and exponentials of a lower one are computed."""


def wide(x: Tensor) -> Tensor:
    """x, in float32 at least."""
    return x.astype(WIDE[x.dtype]) if x.dtype in WIDE else x


class Holder(nn.Layer):
    """Parameters below one path.

    Their names in PaddlePaddle are unique in the process: optimisers keep their state by these names, and a program its
    variables. Where statistics are among the parameters, all keep their precision when the model is cast to a lower one.
    """

    def __init__(self, path: str, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.path = path

    def add(self, name: str, shape: Shape, role: Role, dtype: Any) -> None:
        """Register a parameter or statistic, as zeros."""
        unique = unique_name.generate(f"{self.path}.{name}")
        if role == "statistic":
            self.register_buffer(name, paddle.zeros(shape, dtype))
            getattr(self, name).name = unique
        else:
            attributes = ParamAttr(unique, nn.initializer.Constant(0.0), trainable=role == "trained")
            self.add_parameter(name, self.create_parameter(shape, attributes, dtype))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled or copied holder. Pickled parameters come back as plain tensors without a name."""
        super().__setstate__(state)
        values = {name: value for name, value in self._parameters.items() if not hasattr(value, "trainable")}
        for name, value in values.items():
            del self._parameters[name]
            with paddle.device.device_guard(value.place):
                self.add(name, value.shape, "fixed" if value.stop_gradient else "trained", value.dtype)
            self._parameters[name].set_value(value)

    def _apply(self, func: Any, device: Any, dtype: Any, blocking: Any, include_sublayers: bool = True) -> None:
        """The one way of all casts and moves in PaddlePaddle, mixed precision's too."""
        narrow = dtype is not None and paddle.empty([0], dtype).dtype in WIDE
        super()._apply(func, device, None if narrow and self._buffers else dtype, blocking, include_sublayers)


class Layer(Holder):
    """A layer in place. Its parameters are registered under the spec's names, as zeros."""

    low: Precision | None = None
    """The precision of the products, where it is lower than the parameters'."""

    def __init__(self, placed: PlacedLayer, dtype: str) -> None:
        super().__init__(placed.path, dtype)
        self.settings, self.bag = placed.layer, placed.bag
        for name, parameter in placed.parameters.items():
            *parents, last = name.split(".")
            home: Holder = self
            for parent in parents:
                if not hasattr(home, parent):
                    home.add_sublayer(parent, Holder(f"{home.path}.{parent}", dtype))
                home = getattr(home, parent)
            home.add(last, parameter.shape, parameter.role, dtype)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no forward")


def apply(function: str | None, x: Tensor) -> Tensor:
    if function is None:
        return x
    return {"relu": F.relu, "relu6": F.relu6, "tanh": paddle.tanh, "sigmoid": F.sigmoid}[function](x)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, low: Precision | None = None) -> Tensor:
    """x weight + bias, in the type of x."""
    if low is not None:
        y = product(x, weight, low)
        return y if bias is None else y + bias
    return F.linear(x, weight.astype(x.dtype), None if bias is None else bias.astype(x.dtype))


def off_diagonal(weight: Tensor) -> Tensor:
    """A square matrix with zeros on its diagonal."""
    return weight * (1.0 - paddle.eye(weight.shape[0], dtype=weight.dtype))


def log_softmax(x: Tensor) -> Tensor:
    """PaddlePaddle's own never gives less than -64."""
    return x - paddle.logsumexp(x, -1, keepdim=True)


def drop(layer: Layer, x: Tensor, rate: float, call: Call, name: str = "") -> Tensor:
    if not layer.training or rate == 0.0:
        return x
    if call.dropout is None:
        return F.dropout2d(x, rate) if getattr(layer.settings, "over", "") == "channels" else F.dropout(x, rate)
    mask = call.dropout.get(f"{layer.path}.{name}" if name else layer.path)
    return x if mask is None else x * (mask.astype(x.dtype) * (1.0 / (1.0 - rate)))


def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x), equal for equal numbers.

    In float32 the last bit of PaddlePaddle's own depends on the place in the tensor, and a batch norm over what were
    equal rows magnifies that by 1 / sqrt(its epsilon).
    """
    return paddle.rsqrt(x.astype("float64")).astype(x.dtype)


def l2_normalize(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    dtype, x = x.dtype, wide(x)
    # paddle.inference runs square in place, and takes the result for x
    squares = x.square() if paddle.in_dynamic_mode() else x * x
    return (x * rsqrt(squares.sum(-1, keepdim=True).clip(min=epsilon))).astype(dtype)


def batch_norm(layer: Layer, home: Any, settings: BatchNormSettings, x: Tensor, call: Call) -> Tensor:
    """Over all axes but the last; `home` holds weight, bias and the running statistics."""
    dtype, x = x.dtype, wide(x)
    mean, variance = home.running_mean, home.running_variance
    if layer.training:
        rows = x.flatten(0, -2)
        mask = call.mask if x.ndim == 3 else None
        if mask is not None or call.shared:
            valid = paddle.ones_like(rows[:, :1]) if mask is None else mask.reshape([-1, 1]).astype(x.dtype)
            count, sums = valid.sum(), (rows * valid).sum(0)
            if call.shared:
                together = TotalOfProcesses.apply(paddle.concat([count.reshape([1]), sums]))
                count, sums = together[0], together[1:]
            count = count.clip(min=1.0)
            mean = sums / count
            squares = ((rows - mean).square() * valid).sum(0)
            variance = (TotalOfProcesses.apply(squares) if call.shared else squares) / count
        else:
            count = paddle.full_like(mean, rows.shape[0])
            mean = rows.mean(0)
            variance = (rows - mean).square().mean(0)
        with paddle.no_grad():
            correction = count / (count - 1).clip(min=1.0) if settings.variance == "unbiased" else 1.0
            move(home.running_mean, mean, 1 - settings.decay)
            move(home.running_variance, variance * correction, 1 - settings.decay)
    return ((x - mean) * (rsqrt(variance + settings.epsilon) * home.weight) + home.bias).astype(dtype)


def move(statistic: Tensor, sample: Tensor, share: float) -> None:
    """Move a running statistic towards a sample. In a program of PaddlePaddle `lerp_` would not reach the statistic."""
    paddle.assign(statistic.lerp(sample, share), statistic)
