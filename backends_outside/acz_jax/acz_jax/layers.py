"""The layers in JAX. Formulas and settings are those of acz.model.layers; so are parameter names and layouts."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array as Tensor
from jax import lax

from acz.backend.native_layers import native_layers
from acz.model.layers import activation, attention, dense, dropout, experts, gating, image, normalize
from acz.model.layers.attention import LOWEST
from acz_jax.base import (
    Call,
    Layer,
    Tensors,
    apply,
    batch_norm,
    drop,
    l2_normalize,
    largest,
    linear,
    matmul,
    off_diagonal,
)
from acz_jax.circulant import CirculantDense, product  # noqa: F401 (in LAYERS)
from acz_jax.pooling import FramePool, GatedBag  # noqa: F401 (in LAYERS)
from acz_jax.vlad import LightVLAD, NetFV, NetVLAD, NeXtVLAD  # noqa: F401 (in LAYERS)


class Dense(Layer):
    settings: dense.Dense

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.activation, linear(x, p["weight"], p.get("bias")))


class Rescale(Layer):
    settings: dense.Rescale

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return x * self.settings.scale + self.settings.offset


class ReverseWhitening(Layer):
    settings: dense.ReverseWhitening

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return (x - self.settings.offset) * p["scale"]


class Activation(Layer):
    settings: activation.Activation

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.function, x)


class Softmax(Layer):
    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return jax.nn.softmax(x, -1)


class LogSoftmax(Layer):
    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return jax.nn.log_softmax(x, -1)


class Dropout(Layer):
    settings: dropout.Dropout

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    settings: normalize.BatchNorm

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        if x.ndim == 4:  # an image: channels last and back
            return jnp.moveaxis(batch_norm(self, p, self.settings, jnp.moveaxis(x, 1, -1), call), -1, 1)
        return batch_norm(self, p, self.settings, x, call)


class L2Normalize(Layer):
    settings: normalize.L2Normalize

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    settings: image.Conv2d

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        y = lax.conv(x, p["weight"], (1, 1), "VALID", precision=lax.Precision.HIGHEST)
        return y + p["bias"][:, None, None] if self.settings.bias else y


class MaxPool2d(Layer):
    settings: image.MaxPool2d

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        (b, c, h, w), s = x.shape, self.settings.size
        tiles = x[:, :, : h // s * s, : w // s * s].reshape(b, c, h // s, s, w // s, s)
        return largest(tiles.transpose(0, 3, 5, 1, 2, 4).reshape(b, s * s, c, h // s, w // s))


class Flatten(Layer):
    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class AttentionCluster(Layer):
    settings: attention.AttentionCluster

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        features = x.shape[-1]
        h = jnp.tanh(linear(x, p["hidden.weight"], p["hidden.bias"])) if settings.hidden else x
        s = linear(h, p["score.weight"], p.get("score.bias"))
        if settings.score_scale == "1/sqrt(features)":
            s = s * features**-0.5
        if settings.score_norm:
            s = batch_norm(self, p, settings.score_norm, s, call, "score_norm.")
        s = drop(self, s, settings.score_dropout, call, "score_dropout")
        s = s.swapaxes(1, 2)  # (videos, units, frames)
        axis = 2 if settings.normalize_over == "frames" else 1
        if call.mask is None:
            a = jax.nn.softmax(s, axis)
        else:
            valid = call.mask[:, None]
            a = jax.nn.softmax(jnp.where(valid, s, LOWEST) if axis == 2 else s, axis) * valid
        call.recorded[f"{self.path}.weights"] = a.swapaxes(1, 2)
        v = matmul(a, x)  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            v = l2_normalize(p["alpha"][:, None] * v + p["beta"][:, None])
        if settings.output_scale == "1/sqrt(units)":
            v = v * settings.units**-0.5
        return v.reshape(v.shape[0], settings.units * features)  # (videos, units * features)


class ContextGating(Layer):
    settings: gating.ContextGating

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        norm = self.settings.norm
        weight = off_diagonal(p["weight"]) if self.settings.remove_diagonal else p["weight"]
        g = linear(x, weight, p.get("bias"))
        g = jax.nn.sigmoid(batch_norm(self, p, norm, g, call, "norm.") if norm else g)
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class DeepContextGating(Layer):
    settings: gating.DeepContextGating

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        h = jax.nn.relu(linear(x, p["hidden.weight"]))
        h = batch_norm(self, p, settings.norm, h, call, "hidden_norm.")
        h = drop(self, h, settings.dropout, call, "dropout")
        g = linear(h, p["gate.weight"])
        g = jax.nn.sigmoid(batch_norm(self, p, settings.norm, g, call, "gate_norm."))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class SqueezeExcitation(Layer):
    settings: gating.SqueezeExcitation

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        h = jax.nn.relu(batch_norm(self, p, self.settings.norm, linear(x, p["squeeze.weight"]), call, "norm."))
        g = jax.nn.sigmoid(linear(h, p["excite.weight"]))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class MixtureOfExperts(Layer):
    settings: experts.MixtureOfExperts

    def __call__(self, p: Tensors, x: Tensor, call: Call) -> Tensor:
        classes, mixtures = self.settings.classes, self.settings.mixtures
        if circulant := self.settings.circulant:
            gates = product(p, circulant, x, classes * (mixtures + 1), "gates.")
            experts = product(p, circulant, x, classes * mixtures, "experts.") + p["experts.bias"]
        else:
            narrow = linear(x, p["gates_input.weight"]) if self.settings.low_rank else x
            gates = linear(narrow, p["gates.weight"])
            experts = linear(x, p["experts.weight"], p["experts.bias"])
        gates = jax.nn.softmax(gates.reshape(x.shape[0], classes, mixtures + 1), 2)
        experts = jax.nn.sigmoid(experts).reshape(x.shape[0], classes, mixtures)  # (videos, classes, mixtures)
        y = (gates[:, :, :-1] * experts).sum(2)  # (videos, classes)
        gating = self.settings.input_gating
        if not gating:
            return y
        g = linear(x, p["gating.weight"])
        if gating.remove_diagonal:
            g = g - jnp.diagonal(p["gating.weight"]) * y
        return y * jax.nn.sigmoid(batch_norm(self, p, gating.norm, g, call, "gating_norm."))


LAYERS: dict[str, type[Layer]] = native_layers(globals())
