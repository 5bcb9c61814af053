"""The layers in PaddlePaddle. Formulas and settings are those of acz.layers; so are parameter names and layouts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn

from acz.layers.attention import LOWEST
from acz.spec import Step


@dataclass
class Call:
    """What the layers share in one run: valid frames, dropout masks, records."""

    mask: Tensor | None = None  # bool (videos, frames)
    dropout: dict[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)


class Layer(nn.Layer):
    """A layer in place. Its parameters are registered under the spec's names, as zeros."""

    def __init__(self, step: Step, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.path, self.settings = step.path, step.layer
        for name, parameter in step.parameters.items():
            *parents, last = name.split(".")
            home: nn.Layer = self
            for parent in parents:
                if not hasattr(home, parent):
                    home.add_sublayer(parent, nn.Layer(dtype=dtype))
                home = getattr(home, parent)
            path = f"{step.path}.{name}"
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


def batch_norm(layer: Layer, home: Any, settings: Any, x: Tensor, call: Call) -> Tensor:
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


class Dense(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        y = F.linear(x, self.weight, self.bias if self.settings.bias else None)
        return apply(self.settings.activation, y)


class Rescale(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return x * self.settings.scale + self.settings.offset


class Activation(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.function, x)


class Softmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return F.softmax(x, -1)


class LogSoftmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return log_softmax(x)


class Dropout(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        if x.ndim == 4:  # an image: channels last and back
            return batch_norm(self, self, self.settings, x.transpose([0, 2, 3, 1]), call).transpose([0, 3, 1, 2])
        return batch_norm(self, self, self.settings, x, call)


class L2Normalize(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        y = F.conv2d(x, self.weight)
        if not self.settings.bias:
            return y
        bias = self.bias.reshape([-1, 1, 1])  # F.conv2d itself takes longer over adding it than over the convolution
        return y.add_(bias) if paddle.in_dynamic_mode() else y + bias


class MaxPool2d(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return F.max_pool2d(x, self.settings.size)


class Flatten(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return x.flatten(1)


class AttentionCluster(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        features = x.shape[-1]
        h = paddle.tanh(F.linear(x, self.hidden.weight, self.hidden.bias)) if settings.hidden else x
        s = F.linear(h, self.score.weight, self.score.bias if settings.score_bias else None)
        if settings.score_scale == "1/sqrt(features)":
            s = s * features**-0.5
        if settings.score_norm:
            s = batch_norm(self, self.score_norm, settings.score_norm, s, call)
        s = drop(self, s, settings.score_dropout, call, "score_dropout").transpose([0, 2, 1])  # (videos, units, frames)
        axis = 2 if settings.normalize_over == "frames" else 1
        if call.mask is None:
            a = F.softmax(s, axis)
        else:
            valid = call.mask.unsqueeze(1)
            a = F.softmax(s.masked_fill(~valid, LOWEST) if axis == 2 else s, axis) * valid.astype(s.dtype)
        call.recorded[f"{self.path}.weights"] = a.transpose([0, 2, 1])
        v = a @ x  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            v = l2_normalize(self.alpha.unsqueeze(1) * v + self.beta.unsqueeze(1))
        if settings.output_scale == "1/sqrt(units)":
            v = v * settings.units**-0.5
        return v.flatten(1)  # (videos, units * features)


class FrameAverage(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        if call.mask is None:
            return x.mean(1)
        valid = call.mask.astype(x.dtype)  # (videos, frames)
        return (valid.unsqueeze(1) @ x).squeeze(1) / valid.sum(1, keepdim=True).clip(min=1.0)


class ContextGating(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        norm = self.settings.norm
        g = F.linear(x, self.weight, None if norm else self.bias)
        g = F.sigmoid(batch_norm(self, self.norm, norm, g, call) if norm else g)
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class DeepContextGating(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        h = F.relu(F.linear(x, self.hidden.weight))
        h = batch_norm(self, self.hidden_norm, settings.norm, h, call)
        h = drop(self, h, settings.dropout, call, "dropout")
        g = F.linear(h, self.gate.weight)
        g = F.sigmoid(batch_norm(self, self.gate_norm, settings.norm, g, call))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class MixtureOfExperts(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        classes, mixtures = self.settings.classes, self.settings.mixtures
        gates = F.softmax(F.linear(x, self.gates.weight).reshape([-1, classes, mixtures + 1]), 2)
        experts = F.sigmoid(F.linear(x, self.experts.weight, self.experts.bias))
        experts = experts.reshape([-1, classes, mixtures])  # (videos, classes, mixtures)
        return (gates[:, :, :-1] * experts).sum(2)  # (videos, classes)


LAYERS: dict[str, type[Layer]] = {
    "dense": Dense,
    "rescale": Rescale,
    "activation": Activation,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
    "dropout": Dropout,
    "batch_norm": BatchNorm,
    "l2_normalize": L2Normalize,
    "conv2d": Conv2d,
    "max_pool2d": MaxPool2d,
    "flatten": Flatten,
    "attention_cluster": AttentionCluster,
    "frame_average": FrameAverage,
    "context_gating": ContextGating,
    "deep_context_gating": DeepContextGating,
    "mixture_of_experts": MixtureOfExperts,
}
