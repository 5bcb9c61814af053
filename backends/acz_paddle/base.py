"""Parts of the layers in PaddlePaddle: a layer in place, what a run shares, and the functions that several use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn

from acz.model.layers.normalize import BatchNormSettings
from acz.model.spec import PlacedLayer


@dataclass
class Call:
    """The data that the layers share in one run: valid frames, dropout masks, records."""

    mask: Tensor | None = None  # bool (videos, frames)
    dropout: dict[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)


class Layer(nn.Layer):
    """A layer in place. Its parameters are registered under the spec's names, as zeros."""

    def __init__(self, placed: PlacedLayer, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.path, self.settings, self.bag = placed.path, placed.layer, placed.bag
        for name, parameter in placed.parameters.items():
            *parents, last = name.split(".")
            home: nn.Layer = self
            for parent in parents:
                if not hasattr(home, parent):
                    home.add_sublayer(parent, nn.Layer(dtype=dtype))
                home = getattr(home, parent)
            path = f"{placed.path}.{name}"
            if parameter.role == "statistic":
                home.register_buffer(last, paddle.zeros(parameter.shape, dtype))
                getattr(home, last).name = path
            else:
                attributes = ParamAttr(path, nn.initializer.Constant(0.0), trainable=parameter.role == "trained")
                home.add_parameter(last, home.create_parameter(parameter.shape, attributes, dtype))

    def forward(self, x: Tensor, call: Call) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no forward")


def apply(function: str | None, x: Tensor) -> Tensor:
    if function is None:
        return x
    return {"relu": F.relu, "relu6": F.relu6, "tanh": paddle.tanh, "sigmoid": F.sigmoid}[function](x)


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
    # paddle.inference runs square in place, and takes the result for x
    squares = x.square() if paddle.in_dynamic_mode() else x * x
    return x * rsqrt(squares.sum(-1, keepdim=True).clip(min=epsilon))


def batch_norm(layer: Layer, home: Any, settings: BatchNormSettings, x: Tensor, call: Call) -> Tensor:
    """Over all axes but the last; `home` holds weight, bias and the running statistics."""
    mean, variance = home.running_mean, home.running_variance
    if layer.training:
        rows = x.flatten(0, -2)
        if call.mask is not None and x.ndim == 3:
            valid = call.mask.reshape([-1, 1]).astype(x.dtype)
            count = valid.sum().clip(min=1.0)
            mean = (rows * valid).sum(0) / count
            variance = ((rows - mean).square() * valid).sum(0) / count
        else:
            count = paddle.full_like(mean, rows.shape[0])
            mean = rows.mean(0)
            variance = (rows - mean).square().mean(0)
        with paddle.no_grad():
            correction = count / (count - 1).clip(min=1.0) if settings.variance == "unbiased" else 1.0
            home.running_mean.lerp_(mean, 1 - settings.decay)
            home.running_variance.lerp_(variance * correction, 1 - settings.decay)
    return (x - mean) * (rsqrt(variance + settings.epsilon) * home.weight) + home.bias
