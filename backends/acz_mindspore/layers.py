"""The layers in MindSpore. Formulas and settings are those of acz.layers; so are parameter names and layouts.

Written for eager and for graph mode, which reads this source and is functional: a layer changes nothing but its
statistics. On a CPU MindSpore is fast on equal shapes and on rows (two axes), and ten times as slow where it broadcasts
or reduces more axes: hence `bias_add`, `tile` and the reshaping to rows. Gradients of `ops.matmul` take twice the time
of `ops.MatMul`'s.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from acz.layers.attention import LOWEST
from acz.spec import Step

Call = tuple[Tensor | None, dict[str, Tensor] | None]
"""What the layers share in one run. Valid frames, bool (videos, frames); and dropout masks by path. No masks: the
framework draws its own; a path that is missing drops nothing."""


class Tanh(nn.Cell):
    """tanh = (e - 1) / (e + 1), e = exp(2x), for float32 on a CPU: MindSpore's own is 1e-4 off there."""

    def construct(self, x: Tensor) -> Tensor:
        e = ops.expm1(ops.clamp(x, -10.0, 10.0) * 2.0)
        return e * ops.reciprocal(e + 2.0)

    def bprop(self, x: Tensor, y: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (gradient * (1.0 - y * y),)


class Layer(nn.Cell):
    """A layer in place. Its parameters are registered under the spec's names, as zeros.

    Called with an array and a Call; gives its output, or a tuple of inner values, as they are recorded, and the output.
    """

    def __init__(self, step: Step, dtype: Any) -> None:
        super().__init__(auto_prefix=False)
        self.path, self.settings = step.path, step.layer
        self.on_cpu = ms.get_context("device_target") == "CPU"
        self.tanh = Tanh() if self.on_cpu and dtype == ms.float32 else ops.tanh
        for name, parameter in step.parameters.items():
            *parents, last = name.split(".")
            home: nn.Cell = self
            for parent in parents:
                if not hasattr(home, parent):
                    home.insert_child_to_cell(parent, nn.Cell(auto_prefix=False))
                home = getattr(home, parent)
            value, path = ops.zeros(parameter.shape, dtype), f"{step.path}.{name}"
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
        return layer.tanh(x)
    return ops.sigmoid(x) if function == "sigmoid" else x


def softmax(x: Tensor) -> Tensor:
    """Over the last axis, for outputs; MindSpore's own is 2e-6 off on a CPU where the values are nearly equal."""
    e = ops.expm1(x - ops.stop_gradient(x.max(-1, keepdims=True))) + 1.0
    return e / e.sum(-1, keepdims=True)


def sigmoid(x: Tensor) -> Tensor:
    """For outputs; MindSpore's own is 8e-7 off in float32 on a CPU."""
    if x.dtype != ms.float32:
        return ops.sigmoid(x)
    return ops.reciprocal(ops.expm1(-ops.clamp(x, -88.0, 88.0)) + 2.0)  # beyond, exp overflows in the gradient


def log_softmax(x: Tensor) -> Tensor:
    """MindSpore's own computes in float32; and its exp in float32 is 5e-6 off on a CPU, where expm1 is exact."""
    x = x - ops.stop_gradient(x.max(-1, keepdims=True))
    return x - ops.log((ops.expm1(x) + 1.0).sum(-1, keepdims=True))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = ops.MatMul()(x.reshape((-1, x.shape[-1])), weight)
    if bias is not None:
        y = ops.bias_add(y, bias)
    return y.reshape((*x.shape[:-1], weight.shape[1]))


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


def batch_norm(layer: Layer, home: Any, settings: Any, x: Tensor, call: Call) -> Tensor:
    """Over all axes but the last; `home` holds weight, bias and the running statistics."""
    mean, variance = home.running_mean, home.running_variance
    rows = x.reshape((-1, x.shape[-1]))
    if layer.training:
        if call[0] is not None and x.ndim == 3:
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
    y = ops.bias_add(rows, -mean) * (ops.rsqrt(variance + number(settings.epsilon, x)) * home.weight)
    return ops.bias_add(y, home.bias).reshape(x.shape)


class Dense(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        y = linear(x, self.weight, self.bias if self.settings.bias else None)
        return apply(self, self.settings.activation, y)


class Rescale(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return x * number(self.settings.scale, x) + number(self.settings.offset, x)


class Activation(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return apply(self, self.settings.function, x)


class Softmax(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return ops.softmax(x, -1)


class LogSoftmax(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return log_softmax(x)


class Dropout(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        if x.ndim == 4:  # an image: channels last and back
            y = batch_norm(self, self, self.settings, x.transpose((0, 2, 3, 1)), call)
            return y.transpose((0, 3, 1, 2))
        return batch_norm(self, self, self.settings, x, call)


class L2Normalize(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        if self.on_cpu:  # where MindSpore's own takes twenty times as long, and no float64
            filters, channels, size, _ = self.weight.shape
            videos, _, height, width = x.shape
            windows = ops.unfold(x, size)  # (videos, channels * size * size, places)
            weight = ops.tile(self.weight.reshape((1, filters, channels * size * size)), (videos, 1, 1))
            y = ops.BatchMatMul()(weight, windows).reshape((videos, filters, height - size + 1, width - size + 1))
        else:
            y = ops.conv2d(x, self.weight)
        return ops.bias_add(y, self.bias) if self.settings.bias else y


class MaxPool2d(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        size = self.settings.size
        if (
            x.dtype == ms.float64
        ):  # which MaxPool's gradient rounds to float32; the other is exact, and ten times as slow
            return ops.max_pool2d(x, size, size)
        return ops.MaxPool(size, size)(x)


class Flatten(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return x.flatten(start_dim=1)


class AttentionCluster(Layer):
    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        settings = self.settings
        videos, frames, features = x.shape
        h = self.tanh(linear(x, self.hidden.weight, self.hidden.bias)) if settings.hidden else x
        s = linear(h, self.score.weight, self.score.bias if settings.score_bias else None)
        if settings.score_scale == "1/sqrt(features)":
            s = s * ops.rsqrt(number(features, x))
        if settings.score_norm:
            s = batch_norm(self, self.score_norm, settings.score_norm, s, call)
        s = drop(self, s, settings.score_dropout, call, "score_dropout").transpose((0, 2, 1))  # (videos, units, frames)
        axis = 2 if settings.normalize_over == "frames" else 1
        if call[0] is None:
            a = ops.softmax(s, axis)
        else:
            valid = ops.tile(call[0].reshape((videos, 1, frames)).astype(x.dtype), (1, settings.units, 1))
            a = ops.softmax(s * valid + (1.0 - valid) * LOWEST if axis == 2 else s, axis) * valid
        v = ops.BatchMatMul()(a, x)  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            alpha, beta = self.alpha.reshape((1, -1, 1)), self.beta.reshape((1, -1, 1))
            v = l2_normalize(ops.tile(alpha, (videos, 1, features)) * v + ops.tile(beta, (videos, 1, features)))
        if settings.output_scale == "1/sqrt(units)":
            v = v * ops.rsqrt(number(settings.units, x))
        return a.transpose((0, 2, 1)), v.flatten(start_dim=1)  # (videos, units * features)


class FrameAverage(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        if call[0] is None:
            return x.mean(1)
        videos, frames, features = x.shape
        valid = call[0].reshape((videos, 1, frames)).astype(x.dtype)
        count = ops.maximum(valid.sum(-1), 1.0)  # (videos, 1)
        return ops.BatchMatMul()(valid, x).reshape((videos, features)) / ops.tile(count, (1, features))


class ContextGating(Layer):
    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        norm = self.settings.norm
        g = linear(x, self.weight, None if norm else self.bias)
        g = sigmoid(batch_norm(self, self.norm, norm, g, call) if norm else g)
        return g, x * g


class DeepContextGating(Layer):
    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        settings = self.settings
        h = ops.relu(linear(x, self.hidden.weight, None))
        h = batch_norm(self, self.hidden_norm, settings.norm, h, call)
        h = drop(self, h, settings.dropout, call, "dropout")
        g = linear(h, self.gate.weight, None)
        g = sigmoid(batch_norm(self, self.gate_norm, settings.norm, g, call))
        return g, x * g


class MixtureOfExperts(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        classes, mixtures = self.settings.classes, self.settings.mixtures
        gates = softmax(linear(x, self.gates.weight, None).reshape((-1, mixtures + 1)))
        experts = sigmoid(linear(x, self.experts.weight, self.experts.bias)).reshape((-1, mixtures))
        return (gates[:, :mixtures] * experts).sum(-1).reshape((-1, classes))  # (videos, classes)


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
