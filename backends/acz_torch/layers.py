"""The layers in PyTorch. Formulas and settings are those of acz.model.layers; so are parameter names and layouts."""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acz.backend.native_layers import native_layers
from acz.model.layers import activation, attention, dense, dropout, experts, gating, image, normalize
from acz.model.spec import PlacedLayer
from acz_torch.base import (
    Call,
    Layer,
    Norm,
    Packed,
    Product,
    apply,
    drop,
    l2_normalize,
    linear,
    lowest,
    off_diagonal,
    sigmoid,
)
from acz_torch.circulant import CirculantDense, product  # noqa: F401 (in LAYERS)
from acz_torch.pooling import FramePool, GatedBag  # noqa: F401 (in LAYERS)
from acz_torch.products import bilinear
from acz_torch.products import product as multiply
from acz_torch.vlad import LightVLAD, NetFV, NetVLAD, NeXtVLAD  # noqa: F401 (in LAYERS)


class Dense(Layer):
    settings: dense.Dense

    def __init__(self, placed: PlacedLayer, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(placed, dtype, device)
        self.packed = Packed()

    def train(self, mode: bool = True) -> Dense:
        if mode:
            self.packed = Packed()  # training needs the memory
        return super().train(mode)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        bias = self.bias if self.settings.bias else None
        y = self.packed.product(x, self.weight, bias) if call.packs and self.low is None else None
        return apply(self.settings.activation, linear(x, self.weight, bias, self.low) if y is None else y)


class Rescale(Layer):
    settings: dense.Rescale

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return x * self.settings.scale + self.settings.offset


class ReverseWhitening(Layer):
    settings: dense.ReverseWhitening

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return (x - self.settings.offset) * self.scale.to(x.dtype)


class Activation(Layer):
    settings: activation.Activation

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.function, x)


class Softmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return torch.softmax(x, -1)


class LogSoftmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return torch.log_softmax(x, -1)


class Dropout(Layer):
    settings: dropout.Dropout

    def __init__(self, placed: PlacedLayer, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(placed, dtype, device)
        kind = nn.Dropout2d if self.settings.over == "channels" else nn.Dropout
        self.dropout = kind(self.settings.rate)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return drop(self.dropout, x, call, self.path)


class BatchNorm(Layer, Norm):
    settings: normalize.BatchNorm

    def __init__(self, placed: PlacedLayer, dtype: torch.dtype, device: torch.device) -> None:
        Layer.__init__(self, placed, dtype, device)
        self.take(self.settings)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        if x.ndim == 4:  # an image: channels last and back
            return Norm.forward(self, x.movedim(1, -1), call).movedim(-1, 1)
        return Norm.forward(self, x, call)


class L2Normalize(Layer):
    settings: normalize.L2Normalize

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    settings: image.Conv2d

    def forward(self, x: Tensor, call: Call) -> Tensor:
        bias = self.bias if self.settings.bias else None
        if self.low is None:
            return F.conv2d(x, self.weight, bias)
        y = bilinear(F.conv2d, x, self.weight, self.low)
        return y if bias is None else y + bias[:, None, None]


class MaxPool2d(Layer):
    settings: image.MaxPool2d

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
    settings: attention.AttentionCluster

    def __init__(self, placed: PlacedLayer, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(placed, dtype, device)
        self.score_dropout = nn.Dropout(self.settings.score_dropout)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        features = x.shape[-1]
        s = self.score(torch.tanh(self.hidden(x)) if settings.hidden else x)
        if settings.score_scale == "1/sqrt(features)":
            s = s * features**-0.5
        if settings.score_norm:
            s = self.score_norm(s, call)
        s = drop(self.score_dropout, s, call, f"{self.path}.score_dropout").transpose(1, 2)  # (videos, units, frames)
        axis = 2 if settings.normalize_over == "frames" else 1
        if call.mask is None:
            a = torch.softmax(s, axis)
        else:
            valid = call.mask[:, None, :]
            a = torch.softmax(s.masked_fill(~valid, lowest(s)) if axis == 2 else s, axis) * valid
        call.recorded[f"{self.path}.weights"] = a.transpose(1, 2)
        v = multiply(a, x, self.low)  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            v = l2_normalize(self.alpha[:, None] * v + self.beta[:, None])
        if settings.output_scale == "1/sqrt(units)":
            v = v * settings.units**-0.5
        return v.flatten(1)  # (videos, units * features)


class ContextGating(Layer):
    settings: gating.ContextGating

    def forward(self, x: Tensor, call: Call) -> Tensor:
        norm = self.settings.norm
        weight = off_diagonal(self.weight) if self.settings.remove_diagonal else self.weight
        g = linear(x, weight, None if norm else self.bias, self.low)
        g = sigmoid(self.norm(g, call) if norm else g)
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class DeepContextGating(Layer):
    settings: gating.DeepContextGating

    def __init__(self, placed: PlacedLayer, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(placed, dtype, device)
        self.dropout = nn.Dropout(self.settings.dropout)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        h = self.hidden_norm(F.relu(self.hidden(x)), call)
        h = drop(self.dropout, h, call, f"{self.path}.dropout")
        g = sigmoid(self.gate_norm(self.gate(h), call))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class SqueezeExcitation(Layer):
    settings: gating.SqueezeExcitation

    def forward(self, x: Tensor, call: Call) -> Tensor:
        g = sigmoid(self.excite(F.relu(self.norm(self.squeeze(x), call))))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class MixtureOfExperts(Layer):
    settings: experts.MixtureOfExperts

    def forward(self, x: Tensor, call: Call) -> Tensor:
        classes, mixtures = self.settings.classes, self.settings.mixtures
        if circulant := self.settings.circulant:
            gates = product(self.gates, circulant, x, classes * (mixtures + 1))
            experts = product(self.experts, circulant, x, classes * mixtures) + self.experts.bias
        else:
            gates = self.gates(self.gates_input(x) if self.settings.low_rank else x)
            experts = self.experts(x)
        gates = gates.unflatten(1, (classes, mixtures + 1)).softmax(2)
        experts = sigmoid(experts)
        experts = experts.unflatten(1, (classes, mixtures))  # (videos, classes, mixtures)
        y = (gates[:, :, :-1] * experts).sum(2)  # (videos, classes)
        if not self.settings.input_gating:
            return y
        g = self.gating(x)
        if self.settings.input_gating.remove_diagonal:
            g = g - torch.diagonal(self.gating.weight) * y
        return y * sigmoid(self.gating_norm(g, call))


LAYERS: dict[str, type[Layer]] = native_layers(globals())


def to_linears(module: nn.Module) -> nn.Module:
    """Replace the dense products within a module by nn.Linear, in place, for tools that look for it.

    The module computes the same; its state_dict has other layouts from then on. Left as they are: circulant products, the
    weight of context_gating, and a NetFV whose centres are those of its assignment.
    """
    for name, child in module.named_children():
        coupled = isinstance(module, NetFV) and module.settings.coupling is not None
        if isinstance(child, (Dense, Product)) and not coupled:
            native = _linear_of(child)
            if isinstance(child, Dense) and child.settings.activation:
                native = nn.Sequential(native, Function(child.settings.activation))
            setattr(module, name, native)
        else:
            to_linears(child)
    return module


def _linear_of(product: Dense | Product) -> nn.Linear:
    weight, bias = product.weight, getattr(product, "bias", None)
    native = nn.Linear(*weight.shape, bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        native.weight.copy_(weight.t())
        if bias is not None:
            native.bias.copy_(bias)
    return native.train(product.training)


class Function(nn.Module):
    """A function by its name in the spec, as a module."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return apply(self.name, x)
