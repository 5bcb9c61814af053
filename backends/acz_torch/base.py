"""Parts of the layers in PyTorch: a layer in place, what a run shares, and the functions that several use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acz.model.layers.normalize import BatchNormSettings
from acz.model.spec import PlacedLayer


@dataclass
class Call:
    """The data that the layers share in one run: valid frames, dropout masks, records."""

    mask: Tensor | None = None  # bool (videos, frames)
    dropout: dict[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)
    packs: bool = False
    """True where large weights may be kept packed: in evaluations by the product itself, which knows when they change."""


class Layer(nn.Module):
    """A layer in place. Its parameters are registered under the spec's names, uninitialised."""

    def __init__(self, placed: PlacedLayer, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.path, self.settings, self.bag = placed.path, placed.layer, placed.bag
        for name, parameter in placed.parameters.items():
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


def batch_norm(layer: Layer, home: Any, settings: BatchNormSettings, x: Tensor, call: Call) -> Tensor:
    """Over all axes but the last; `home` holds weight, bias and the running statistics."""
    if not layer.training:
        scale = torch.rsqrt(home.running_variance + settings.epsilon) * home.weight
        return (x - home.running_mean) * scale + home.bias
    rows = x.flatten(0, -2)
    if call.mask is not None and x.ndim == 3:
        valid = call.mask.reshape(-1, 1).to(x.dtype)
        count = valid.sum().clamp_min(1.0)
        mean = (rows * valid).sum(0) / count
        variance = ((rows - mean).square() * valid).sum(0) / count
        y = (x - mean) * (torch.rsqrt(variance + settings.epsilon) * home.weight) + home.bias
    else:
        # PyTorch's own sums the rows one by one; without their mean to begin with, equal rows would differ from what it sums to
        about = rows.detach().mean(0)
        count = torch.tensor(float(len(rows)), dtype=x.dtype, device=x.device)
        y, mean, scale = torch.native_batch_norm(
            rows - about, home.weight, home.bias, None, None, True, 0.0, settings.epsilon
        )
        y, mean = y.reshape(x.shape), mean + about
        variance = (scale.double() ** -2 - settings.epsilon).clamp_min(0.0).to(x.dtype)
    with torch.no_grad():
        correction = count / (count - 1).clamp_min(1.0) if settings.variance == "unbiased" else 1.0
        home.running_mean.lerp_(mean, 1 - settings.decay)
        home.running_variance.lerp_(variance * correction, 1 - settings.decay)
    return y


class Packed:
    """A large weight in oneDNN's own layout, for evaluation on a CPU: a product with few rows takes 0.5 to 0.7 of the time with it.

    Packing takes as long as some 20 products, so a weight is packed when it has been unchanged for as many.
    """

    ROWS, LEAST_WEIGHTS, AFTER = 64, 2**20, 20
    HERE = (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")
        and all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))
    )
    """Tell whether this PyTorch can pack weights on this processor."""

    def __init__(self) -> None:
        self.of: Tensor = None
        self.version, self.uses = 0, 0
        self.weight: Tensor | None = None

    def __reduce__(self) -> tuple[type[Packed], tuple[()]]:
        return Packed, ()  # a copy of a module packs for itself

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """x (rows, features) by weight (features, units), if that is packed by now."""
        if x.ndim != 2 or len(x) > self.ROWS or weight.numel() < self.LEAST_WEIGHTS:
            return None
        if weight.device.type != "cpu" or weight.dtype != torch.float32 or weight.is_inference():
            return None
        if not torch.is_inference_mode_enabled() or not self.HERE:
            return None
        if weight is not self.of or weight._version != self.version:  # every change in place raises the version
            self.of, self.version, self.uses, self.weight = weight, weight._version, 0, None
        self.uses += 1
        if self.uses <= self.AFTER:
            return None
        if self.weight is None:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.t(), self.ROWS)
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, bias, "none", [], "")
