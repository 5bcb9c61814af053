"""Parts of the layers in PyTorch: a layer in place, what a run shares, and the functions that several use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from acz.model.layers.attention import LOWEST
from acz.model.layers.base import Parameter
from acz.model.layers.normalize import BatchNormSettings
from acz.model.precision import Precision
from acz.model.spec import PlacedLayer
from acz_torch.processes import TotalOfProcesses
from acz_torch.products import product


@dataclass
class Call:
    """The data that the layers share in one run: valid frames, dropout masks, records."""

    mask: Tensor | None = None  # bool (videos, frames)
    dropout: dict[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)
    packs: bool = False
    """True where large weights may be kept packed: in evaluations by the product itself, which knows when they change."""
    shared: bool = False
    """True in a step that all processes share, each with its part of the videos."""


LOW = (torch.float16, torch.bfloat16)
"""Types in which sums of squares, small epsilons and running statistics lose their meaning."""


class Parameters(nn.Module):
    """Parameters and statistics under their names, uninitialised. No cast makes a statistic less precise than float32."""

    low: Precision | None = None
    """The precision of the products, where it is lower than the parameters'."""

    def __init__(self, parameters: Mapping[str, Parameter], dtype: torch.dtype, device: torch.device) -> None:
        nn.Module.__init__(self)
        for name, parameter in parameters.items():
            value = torch.empty(parameter.shape, dtype=dtype, device=device)
            if parameter.role == "statistic":
                self.register_buffer(name, value)
            else:
                self.register_parameter(name, nn.Parameter(value, requires_grad=parameter.role == "trained"))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        statistics = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, value in self.named_buffers(recurse=False):
            if value.dtype in LOW:
                setattr(self, name, statistics[name].to(value.device, torch.float32))
        return self


class Product(Parameters):
    """A layer's part with a weight (features, units) and perhaps a bias (units)."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, getattr(self, "bias", None), self.low)


class Layer(Parameters):
    """A layer in place. Its parameters have the spec's names; those of `hidden.weight` and so on are in a part `hidden`."""

    def __init__(self, placed: PlacedLayer, dtype: torch.dtype, device: torch.device) -> None:
        own = {name: parameter for name, parameter in placed.parameters.items() if "." not in name}
        Parameters.__init__(self, own, dtype, device)
        self.path, self.settings, self.bag = placed.path, placed.layer, placed.bag
        parts: dict[str, dict[str, Parameter]] = {}
        for name, parameter in placed.parameters.items():
            part, _, last = name.rpartition(".")
            if part:
                parts.setdefault(part, {})[last] = parameter
        for part, inside in parts.items():
            if "running_mean" in inside:
                settings = next(filter(None, (getattr(placed.layer, name, None) for name in (part, "norm"))))
                self.add_module(part, Norm(settings, inside, dtype, device))
            else:
                kind = Product if len(inside["weight"].shape) == 2 else Parameters
                self.add_module(part, kind(inside, dtype, device))

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


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, low: Precision | None = None) -> Tensor:
    """x (..., features) by weight (features, units), plus a bias (units): every product of the layers.

    A CPU's product of one row and a bias begins with the bias and adds the terms to it one by one, so each rounds by the
    size of the sum and not by its own. The bias is therefore added afterwards. A graph serves any number of rows.
    """
    if low is not None:
        y = product(x.flatten(0, -2), weight, low).unflatten(0, x.shape[:-1]) if x.ndim > 2 else product(x, weight, low)
        return y if bias is None else y + bias
    any_rows = torch.compiler.is_exporting() or torch.jit.is_tracing()
    if bias is not None and (any_rows or x.numel() == x.shape[-1]):
        y = x @ weight
        return y + bias.to(y.dtype)
    return F.linear(x, weight.t(), bias)


def off_diagonal(weight: Tensor) -> Tensor:
    """A square matrix with zeros on its diagonal."""
    return weight * (1 - torch.eye(len(weight), dtype=weight.dtype, device=weight.device))


def drop(dropout: nn.Module, x: Tensor, call: Call, path: str) -> Tensor:
    """Drop by a call's mask of the path, or by PyTorch's own dropout in a call without masks."""
    if not dropout.training:
        return x
    if call.dropout is None:
        return dropout(x)
    mask = call.dropout.get(path)
    return x if mask is None else x * (mask.to(x.dtype) * (1.0 / (1.0 - dropout.p)))


def lowest(x: Tensor) -> float:
    """The value of padded frames below all others: LOWEST, or the least number of a type that does not hold it."""
    return max(LOWEST, torch.finfo(x.dtype).min)


def in_float32(compute: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
    """A function of tensors, computed in float32 where they are less precise or autocast would make them so.

    Returns:
        The result, in the type of `x`.
    """
    kind = x.device.type
    automatic = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    if x.dtype not in LOW and not automatic:
        return compute(x, *others)
    raised = [value.float() if value.dtype in LOW else value for value in (x, *others)]
    if not automatic:
        return compute(*raised).to(x.dtype)
    with torch.autocast(kind, enabled=False):
        return compute(*raised).to(x.dtype)


def to_unit_length(x: Tensor, axis: int, held: torch.dtype, epsilon: float = 1e-12) -> Tensor:
    """Vectors along an axis, L2-normalised in the type of `x`.

    Args:
        held: the type that the gradient is rounded to. float16 does not hold that at a zero vector, which is 1e6: it is 0.
    """
    squares = (x * x).sum(axis, keepdim=True)
    y = x * torch.rsqrt(squares.clamp_min(epsilon))
    return torch.where(squares < epsilon, y.detach(), y) if held == torch.float16 else y


def l2_normalize(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return in_float32(lambda values: to_unit_length(values, -1, x.dtype, epsilon), x)


class Norm(Parameters, nn.BatchNorm1d):
    """Batch normalisation over all axes but the last, in float32 at least.

    To PyTorch's tools it is a batch norm: `update_bn` works, and so do parameter groups by type, and `eval()` of the batch
    norms alone. Its statistics move by `momentum` as PyTorch defines it; None makes them the mean of all batches.
    """

    def __init__(
        self,
        settings: BatchNormSettings,
        parameters: Mapping[str, Parameter],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        Parameters.__init__(self, parameters, dtype, device)
        self.take(settings)

    def take(self, settings: BatchNormSettings) -> None:
        """Set the attributes of PyTorch's batch norms from a layer's settings."""
        self.eps, self.momentum, self.variance = settings.epsilon, 1 - settings.decay, settings.variance
        self.num_features, self.affine = len(self.weight), True
        self.batches, self.synchronised = 0, False
        self.track_running_stats = False  # PyTorch would look for `num_batches_tracked` in every state_dict

    def __getattr__(self, name: str) -> Any:
        if name == "running_var":  # nn.SyncBatchNorm.convert_sync_batchnorm reads it
            raise AttributeError(
                "PyTorch's SyncBatchNorm knows no masks and takes frames for features; call acz_torch.model.synchronise"
            )
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, variance={self.variance}"

    def reset_running_stats(self) -> None:
        self.running_mean.zero_()
        self.running_variance.fill_(1.0)
        self.batches = 0

    def forward(self, x: Tensor, call: Call) -> Tensor:
        kind = x.dtype
        x = x.to(torch.promote_types(kind, self.running_mean.dtype))
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if not self.training:
            scale = torch.rsqrt(self.running_variance + self.eps) * weight
            return ((x - self.running_mean) * scale + bias).to(kind)
        rows = x.flatten(0, -2)
        mask = call.mask if x.ndim == 3 else None
        shared = call.shared or (self.synchronised and distributed.is_available() and distributed.is_initialized())
        if mask is not None or shared or self.synchronised or torch.jit.is_tracing():
            valid = torch.ones_like(rows[:, :1]) if mask is None else mask.reshape(-1, 1).to(x.dtype)
            count, sums = valid.sum(), (rows * valid).sum(0)
            if shared:
                count, sums = TotalOfProcesses.apply(torch.cat([count[None], sums])).split([1, len(sums)])
            count = count.clamp_min(1.0)
            mean = sums / count
            squares = ((rows - mean).square() * valid).sum(0)
            variance = (TotalOfProcesses.apply(squares) if shared else squares) / count
            y = (x - mean) * (torch.rsqrt(variance + self.eps) * weight) + bias
        else:
            # PyTorch's own sums the rows one by one; without their mean to begin with, equal rows would differ from what it sums to
            about = rows.detach().mean(0)
            count = torch.tensor(float(len(rows)), dtype=x.dtype, device=x.device)
            y, mean, scale = torch.native_batch_norm(rows - about, weight, bias, None, None, True, 0.0, self.eps)
            y, mean = y.reshape(x.shape), mean + about
            variance = (scale.double() ** -2 - self.eps).clamp_min(0.0).to(x.dtype)
        self._move(count.detach(), mean.detach(), variance.detach())
        return y.to(kind)

    def _move(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Let the running statistics take in those of a batch."""
        share = self.momentum
        if share is None:
            self.batches += 1
            share = 1.0 / self.batches
        correction = count / (count - 1).clamp_min(1.0) if self.variance == "unbiased" else 1.0
        with torch.no_grad():
            self.running_mean.lerp_(mean, share)
            self.running_variance.lerp_(variance * correction, share)


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
