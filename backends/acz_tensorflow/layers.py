"""The layers in TensorFlow. Formulas and settings are those of acz.model.layers; so are parameter names and layouts."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import Tensor

from acz.backend.native_layers import native_layers
from acz.model.layers import activation, attention, dense, dropout, experts, gating, image, normalize
from acz.model.layers.attention import LOWEST
from acz_tensorflow.base import (
    Call,
    Layer,
    apply,
    batch_norm,
    channels_first,
    channels_last,
    drop,
    l2_normalize,
    linear,
    off_diagonal,
    softmax,
    widened,
)
from acz_tensorflow.circulant import CirculantDense, product  # noqa: F401 (in LAYERS)
from acz_tensorflow.pooling import FramePool, GatedBag  # noqa: F401 (in LAYERS)
from acz_tensorflow.products import bilinear
from acz_tensorflow.products import product as multiply
from acz_tensorflow.vlad import LightVLAD, NetFV, NetVLAD, NeXtVLAD  # noqa: F401 (in LAYERS)


class Dense(Layer):
    settings: dense.Dense

    def call(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.activation, linear(x, self.own["weight"], self.own.get("bias"), low=self.low))


class Rescale(Layer):
    settings: dense.Rescale

    def call(self, x: Tensor, call: Call) -> Tensor:
        return x * self.settings.scale + self.settings.offset


class ReverseWhitening(Layer):
    settings: dense.ReverseWhitening

    def call(self, x: Tensor, call: Call) -> Tensor:
        return (x - self.settings.offset) * tf.cast(self.own["scale"], x.dtype)


class Activation(Layer):
    settings: activation.Activation

    def call(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.function, x)


class Softmax(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return softmax(x)


class LogSoftmax(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return tf.nn.log_softmax(widened(x))


class Dropout(Layer):
    settings: dropout.Dropout

    def call(self, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    settings: normalize.BatchNorm

    def call(self, x: Tensor, call: Call) -> Tensor:
        if len(x.shape) == 4:
            return channels_first(batch_norm(self.own, self.settings, channels_last(x), call))
        return batch_norm(self.own, self.settings, x, call)


class L2Normalize(Layer):
    settings: normalize.L2Normalize

    def call(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    settings: image.Conv2d

    def call(self, x: Tensor, call: Call) -> Tensor:
        kernel = tf.transpose(self.own["weight"], (2, 3, 1, 0))  # (height, width, channels, filters)
        y = bilinear(lambda x, w: tf.nn.conv2d(x, w, 1, "VALID"), channels_last(x), kernel, self.low)
        return channels_first(tf.nn.bias_add(y, self.own["bias"]) if self.settings.bias else y)


class MaxPool2d(Layer):
    settings: image.MaxPool2d

    def call(self, x: Tensor, call: Call) -> Tensor:
        return channels_first(tf.nn.max_pool2d(channels_last(x), self.settings.size, self.settings.size, "VALID"))


class Flatten(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return tf.reshape(x, (-1, *self.placed.output_shape))


class AttentionCluster(Layer):
    settings: attention.AttentionCluster

    def call(self, x: Tensor, call: Call) -> Tensor:
        settings, own = self.settings, self.own
        h = tf.tanh(linear(x, own["hidden.weight"], own["hidden.bias"], low=self.low)) if settings.hidden else x
        s = linear(h, own["score.weight"], own.get("score.bias"), low=self.low)
        s = widened(s)
        if settings.score_scale == "1/sqrt(features)":
            s = s * self.placed.input_shape[-1] ** -0.5
        if settings.score_norm:
            s = batch_norm(own, settings.score_norm, s, call, "score_norm.")
        s = drop(self, s, settings.score_dropout, call, "score_dropout")
        if settings.normalize_over == "units":
            a = tf.transpose(softmax(s), (0, 2, 1))  # (videos, units, frames)
        else:
            s = tf.transpose(s, (0, 2, 1))  # (videos, units, frames)
            a = softmax(s if call.mask is None else tf.where(tf.expand_dims(call.mask, 1), s, LOWEST))
        if call.mask is not None:
            a = a * tf.cast(tf.expand_dims(call.mask, 1), a.dtype)
        call.recorded[f"{self.placed.path}.weights"] = tf.transpose(a, (0, 2, 1))
        v = multiply(tf.cast(a, x.dtype), x, self.low)  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            v = l2_normalize(widened(own["alpha"][:, None]) * widened(v) + widened(own["beta"][:, None]))
        if settings.output_scale == "1/sqrt(units)":
            v = v * settings.units**-0.5
        return tf.reshape(v, (-1, *self.placed.output_shape))  # (videos, units * features)


class ContextGating(Layer):
    settings: gating.ContextGating

    def call(self, x: Tensor, call: Call) -> Tensor:
        norm, own = self.settings.norm, self.own
        weight = off_diagonal(own["weight"]) if self.settings.remove_diagonal else own["weight"]
        g = linear(x, weight, own.get("bias"), low=self.low)
        g = tf.sigmoid(batch_norm(own, norm, g, call, "norm.") if norm else g)
        call.recorded[f"{self.placed.path}.gates"] = g
        return x * tf.cast(g, x.dtype)


class DeepContextGating(Layer):
    settings: gating.DeepContextGating

    def call(self, x: Tensor, call: Call) -> Tensor:
        settings, own = self.settings, self.own
        h = tf.nn.relu(linear(x, own["hidden.weight"], low=self.low))
        h = batch_norm(own, settings.norm, h, call, "hidden_norm.")
        h = drop(self, h, settings.dropout, call, "dropout")
        g = linear(h, own["gate.weight"], low=self.low)
        g = tf.sigmoid(batch_norm(own, settings.norm, g, call, "gate_norm."))
        call.recorded[f"{self.placed.path}.gates"] = g
        return x * tf.cast(g, x.dtype)


class SqueezeExcitation(Layer):
    settings: gating.SqueezeExcitation

    def call(self, x: Tensor, call: Call) -> Tensor:
        own = self.own
        h = linear(x, own["squeeze.weight"], low=self.low)
        h = tf.nn.relu(batch_norm(own, self.settings.norm, h, call, "norm."))
        g = tf.sigmoid(widened(linear(h, own["excite.weight"], low=self.low)))
        call.recorded[f"{self.placed.path}.gates"] = g
        return x * tf.cast(g, x.dtype)


class MixtureOfExperts(Layer):
    settings: experts.MixtureOfExperts

    def call(self, x: Tensor, call: Call) -> Tensor:
        own, classes, mixtures = self.own, self.settings.classes, self.settings.mixtures
        if circulant := self.settings.circulant:
            gates = product(own, circulant, x, classes * (mixtures + 1), "gates.")
            experts = tf.nn.bias_add(product(own, circulant, x, classes * mixtures, "experts."), own["experts.bias"])
        else:
            narrow = linear(x, own["gates_input.weight"], low=self.low) if self.settings.low_rank else x
            gates = linear(narrow, own["gates.weight"], low=self.low)
            experts = linear(x, own["experts.weight"], own["experts.bias"], low=self.low)
        gates = softmax(tf.reshape(gates, (-1, classes, mixtures + 1)))
        experts = tf.sigmoid(widened(experts))
        experts = tf.reshape(experts, (-1, classes, mixtures))  # (videos, classes, mixtures)
        y = tf.reduce_sum(gates[:, :, :-1] * experts, 2)  # (videos, classes)
        gating = self.settings.input_gating
        if not gating:
            return y
        g = widened(linear(x, own["gating.weight"], low=self.low))
        if gating.remove_diagonal:
            square = widened(own["gating.weight"][:classes])
            g = g - tf.reduce_sum(square * tf.eye(classes, dtype=square.dtype), 0) * y
        return y * tf.sigmoid(batch_norm(own, gating.norm, g, call, "gating_norm."))


LAYERS: dict[str, type[Layer]] = native_layers(globals())
