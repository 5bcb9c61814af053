"""Parts of the layers in JAX: a layer in place, what a run shares, and the functions that several use.

XLA computes a value again in each fusion that reads it, with other roundings. So no gradient here compares a value with one
that was computed from it, as those of jax.numpy.max, maximum and clip do; and a batch norm's input is `computed_once`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array as Tensor
from jax import lax

from acz.model.layers.normalize import BatchNormSettings
from acz.model.spec import PlacedLayer

Tensors = Mapping[str, Tensor]


@dataclass
class Call:
    """The data that the layers share in one run: mode, valid frames, dropout masks, records, new statistics."""

    training: bool = False
    mask: Tensor | None = None  # bool (videos, frames)
    dropout: Tensors | None = None
    """Masks by path. None: JAX draws its own from `key`; a path that is missing drops nothing."""
    key: Tensor | None = None
    recorded: dict[str, Tensor] = field(default_factory=dict)
    moved: dict[str, Tensor] = field(default_factory=dict)
    """New running statistics by path, in training."""


class Layer:
    """A layer in place. Called with its parameters by local name, its input and the call."""

    def __init__(self, placed: PlacedLayer) -> None:
        self.path, self.settings, self.bag = placed.path, placed.layer, placed.bag

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no call")


def apply(function: str | None, x: Tensor) -> Tensor:
    if function is None:
        return x
    return {"relu": jax.nn.relu, "relu6": jax.nn.relu6, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}[function](x)


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """A product in full precision: on a GPU or TPU JAX's default has fewer bits."""
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    y = matmul(x, weight)
    return y if bias is None else y + bias


def off_diagonal(weight: Tensor) -> Tensor:
    """A square matrix with zeros on its diagonal."""
    return weight * (1.0 - jnp.eye(len(weight), dtype=weight.dtype))


def at_least(x: Tensor, low: float) -> Tensor:
    """The larger of x and a number. Its gradient asks x alone."""
    return jnp.where(x > low, x, low)


@jax.custom_vjp
def largest(x: Tensor) -> Tensor:
    """The largest value over axis 1, (videos, n, ...) to (videos, ...). Its gradient goes to the first largest value."""
    return x.max(1)


def _largest(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    return x.max(1), (x, jnp.argmax(x, 1))


def _gradient_of_largest(kept: tuple[Tensor, Tensor], gradient: Tensor) -> tuple[Tensor]:
    x, place = kept
    chosen = lax.broadcasted_iota(place.dtype, x.shape, 1) == jnp.expand_dims(place, 1)
    return (jnp.where(chosen, jnp.expand_dims(gradient, 1), 0),)


largest.defvjp(_largest, _gradient_of_largest)


def drop(layer: Layer, x: Tensor, rate: float, call: Call, name: str = "") -> Tensor:
    if not call.training or rate == 0.0:
        return x
    if call.dropout is not None:
        mask = call.dropout.get(f"{layer.path}.{name}" if name else layer.path)
    elif call.key is None:
        raise TypeError("dropout in training needs a key: model(..., training=True, key=jax.random.key(0))")
    else:
        call.key, key = jax.random.split(call.key)
        channels = getattr(layer.settings, "over", "") == "channels"
        mask = jax.random.bernoulli(key, 1.0 - rate, (*x.shape[:2], 1, 1) if channels else x.shape)
    return x if mask is None else x * (mask.astype(x.dtype) * (1.0 / (1.0 - rate)))


def l2_normalize(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return x * lax.rsqrt(at_least((x * x).sum(-1, keepdims=True), epsilon))


@jax.custom_jvp
def computed_once(x: Tensor, positive: Tensor) -> Tensor:
    """x, which XLA on a CPU computes once and keeps for all its readers: it fuses nothing with a branch of a condition.

    A barrier does not do that: XLA removes it before it fuses.

    Args:
        x: any tensor.
        positive: a number that is not negative, which XLA does not know.
    """

    def branch(x: Tensor, positive: Tensor) -> Tensor:
        kept: Tensor = lax.cond(positive < 0, lambda x: -x, lambda x: x, x)
        return kept

    kept: Tensor = lax.platform_dependent(x, positive, cpu=branch, default=lambda x, _: x)
    return kept


@computed_once.defjvp
def _tangent_of_computed_once(values: tuple[Tensor, Tensor], tangents: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return computed_once(*values), tangents[0]


def batch_norm(
    layer: Layer, p: Tensors, settings: BatchNormSettings, x: Tensor, call: Call, prefix: str = ""
) -> Tensor:
    """Over all axes but the last; `p` holds weight, bias and the running statistics."""
    mean, variance = p[f"{prefix}running_mean"], p[f"{prefix}running_variance"]
    if call.training:
        x = computed_once(x, variance[0])  # else XLA subtracts a mean of other roundings, and equal rows magnify that
        rows = x.reshape(-1, x.shape[-1])
        mask = call.mask if x.ndim == 3 else None
        valid = jnp.ones((len(rows), 1), x.dtype) if mask is None else mask.reshape(-1, 1).astype(x.dtype)
        count = at_least(valid.sum(), 1.0)

        def mean_of(values: Tensor) -> Tensor:
            return (values * valid).sum(0) / count

        rough = lax.stop_gradient(mean_of(rows))  # a sum of equal rows rounds, and the division would magnify that
        batch_mean = rough + mean_of(rows - rough)
        batch_variance = mean_of(jnp.square(rows - batch_mean))
        correction = count / at_least(count - 1.0, 1.0) if settings.variance == "unbiased" else 1.0
        share = 1.0 - settings.decay
        for name, running, value in (
            ("running_mean", mean, batch_mean),
            ("running_variance", variance, batch_variance * correction),
        ):
            call.moved[f"{layer.path}.{prefix}{name}"] = lax.stop_gradient(running + (value - running) * share)
        mean, variance = batch_mean, batch_variance
    return (x - mean) * (lax.rsqrt(variance + settings.epsilon) * p[f"{prefix}weight"]) + p[f"{prefix}bias"]


def jitted(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A compiled function. JAX compiles it again for other shapes."""
    compiled: Callable[..., Any] = jax.jit(function, **options)
    return compiled
