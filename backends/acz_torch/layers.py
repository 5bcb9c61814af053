"""The layers in PyTorch. Formulas and settings are those of acz.layers; so are parameter names and layouts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acz.layers.attention import LOWEST
from acz.spec import Step


@dataclass
class Call:
    """What the layers share in one run: valid frames, dropout masks, records."""

    mask: Tensor | None = None  # bool (videos, frames)
    dropout: dict[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)


class Layer(nn.Module):
    """A layer in place. Its parameters are registered under the spec's names, uninitialised."""

    def __init__(self, step: Step, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.path, self.settings = step.path, step.layer
        for name, parameter in step.parameters.items():
            *parents, last = name.split(".")
            home: nn.Module = self
            for parent in parents:
                if not hasattr(home, parent):
                    home.add_module(parent, nn.Module())
                home = getattr(home, parent)
            value = torch.empty(parameter.shape, dtype=dtype, device=device)
            if parameter.role == "statistic":
                home.register_buffer(last, value)
            else:
                home.register_parameter(last, nn.Parameter(value, requires_grad=parameter.role == "trained"))

    def forward(self, x: Tensor, call: Call) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no forward")


def apply(function: str | None, x: Tensor) -> Tensor:
    if function is None:
        return x
    return {"relu": F.relu, "relu6": F.relu6, "tanh": torch.tanh, "sigmoid": sigmoid}[function](x)


def sigmoid(x: Tensor) -> Tensor:
    """PyTorch's own, on a CPU, rounds by an element's place in memory: of equal videos it makes videos that differ in the
    last bit, and a batch norm behind it makes that large."""
    if x.device.type != "cpu":
        return torch.sigmoid(x)
    e = torch.exp(torch.where(x > 0, -x, x))
    return torch.where(x > 0, 1.0, e) / (1.0 + e)


def drop(layer: Layer, x: Tensor, rate: float, call: Call, name: str = "") -> Tensor:
    if not layer.training or rate == 0.0:
        return x
    if call.dropout is None:
        return F.dropout2d(x, rate) if getattr(layer.settings, "over", "") == "channels" else F.dropout(x, rate)
    mask = call.dropout.get(f"{layer.path}.{name}" if name else layer.path)
    return x if mask is None else x * (mask.to(x.dtype) * (1.0 / (1.0 - rate)))


def l2_normalize(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True).clamp_min(epsilon))


def batch_norm(layer: Layer, home: Any, settings: Any, x: Tensor, call: Call) -> Tensor:
    """Over all axes but the last; `home` holds weight, bias and the running statistics."""
    mean, variance = home.running_mean, home.running_variance
    if layer.training:
        rows = x.flatten(0, -2)
        if call.mask is not None and x.ndim == 3:
            valid = call.mask.reshape(-1, 1).to(x.dtype)
            count = valid.sum().clamp_min(1.0)
            mean = (rows * valid).sum(0) / count
            variance = ((rows - mean).square() * valid).sum(0) / count
        else:
            count = torch.tensor(float(len(rows)), dtype=x.dtype, device=x.device)
            variance, mean = torch.var_mean(rows, 0, correction=0)
        with torch.no_grad():
            correction = count / (count - 1).clamp_min(1.0) if settings.variance == "unbiased" else 1.0
            home.running_mean.lerp_(mean, 1 - settings.decay)
            home.running_variance.lerp_(variance * correction, 1 - settings.decay)
    return (x - mean) * (torch.rsqrt(variance + settings.epsilon) * home.weight) + home.bias


class Dense(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        y = F.linear(x, self.weight.t(), self.bias if self.settings.bias else None)
        return apply(self.settings.activation, y)


class Rescale(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return x * self.settings.scale + self.settings.offset


class Activation(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.function, x)


class Softmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return torch.softmax(x, -1)


class LogSoftmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return torch.log_softmax(x, -1)


class Dropout(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        if x.ndim == 4:  # an image: channels last and back
            return batch_norm(self, self, self.settings, x.movedim(1, -1), call).movedim(-1, 1)
        return batch_norm(self, self, self.settings, x, call)


class L2Normalize(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return F.conv2d(x, self.weight, self.bias if self.settings.bias else None)


class MaxPool2d(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        size = self.settings.size
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return F.max_pool2d(x, size)
        # on a CPU ten times as fast; but the gradient of equal values would be shared among them
        rows, columns = (side // size * size for side in x.shape[2:])
        parts = [x[:, :, i:rows:size, j:columns:size] for i in range(size) for j in range(size)]
        return reduce(torch.maximum, parts)


class Flatten(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return x.flatten(1)


class AttentionCluster(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        features = x.shape[-1]
        h = torch.tanh(F.linear(x, self.hidden.weight.t(), self.hidden.bias)) if settings.hidden else x
        s = F.linear(h, self.score.weight.t(), self.score.bias if settings.score_bias else None)
        if settings.score_scale == "1/sqrt(features)":
            s = s * features**-0.5
        if settings.score_norm:
            s = batch_norm(self, self.score_norm, settings.score_norm, s, call)
        s = drop(self, s, settings.score_dropout, call, "score_dropout").transpose(1, 2)  # (videos, units, frames)
        axis = 2 if settings.normalize_over == "frames" else 1
        if call.mask is None:
            a = torch.softmax(s, axis)
        else:
            valid = call.mask[:, None, :]
            a = torch.softmax(s.masked_fill(~valid, LOWEST) if axis == 2 else s, axis) * valid
        call.recorded[f"{self.path}.weights"] = a.transpose(1, 2)
        v = a @ x  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            v = l2_normalize(self.alpha[:, None] * v + self.beta[:, None])
        if settings.output_scale == "1/sqrt(units)":
            v = v * settings.units**-0.5
        return v.flatten(1)  # (videos, units * features)


class FrameAverage(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        if call.mask is None:
            return x.mean(1)
        valid = call.mask.to(x.dtype)  # (videos, frames)
        return (valid[:, None] @ x).squeeze(1) / valid.sum(1, keepdim=True).clamp_min(1.0)


class ContextGating(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        norm = self.settings.norm
        g = F.linear(x, self.weight.t(), None if norm else self.bias)
        g = sigmoid(batch_norm(self, self.norm, norm, g, call) if norm else g)
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class DeepContextGating(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        h = F.relu(F.linear(x, self.hidden.weight.t()))
        h = batch_norm(self, self.hidden_norm, settings.norm, h, call)
        h = drop(self, h, settings.dropout, call, "dropout")
        g = F.linear(h, self.gate.weight.t())
        g = sigmoid(batch_norm(self, self.gate_norm, settings.norm, g, call))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class MixtureOfExperts(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        classes, mixtures = self.settings.classes, self.settings.mixtures
        gates = F.linear(x, self.gates.weight.t()).unflatten(1, (classes, mixtures + 1)).softmax(2)
        experts = sigmoid(F.linear(x, self.experts.weight.t(), self.experts.bias))
        experts = experts.unflatten(1, (classes, mixtures))  # (videos, classes, mixtures)
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
