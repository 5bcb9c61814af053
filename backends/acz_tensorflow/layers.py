"""The layers in TensorFlow. Formulas and settings are those of acz.layers; so are parameter names and layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

from acz.layers.attention import LOWEST
from acz.spec import Step


@dataclass
class Call:
    """What the layers share in one run: valid frames, dropout masks, records."""

    training: bool = False
    mask: Tensor | None = None  # bool (videos, frames)
    dropout: Mapping[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)


class Layer(keras.layers.Layer):
    """A layer in place. `own` holds its parameters by local name, as zeros; their names are the spec's paths."""

    def __init__(self, step: Step, dtype: str) -> None:
        scope = re.sub(r"^_|[^\w.]", ".", step.path, flags=re.ASCII)  # what TensorFlow's graphs take for a name
        super().__init__(name=scope, dtype=dtype)
        self.step, self.settings = step, step.layer
        self.own = {
            name: self.add_weight(
                shape=parameter.shape,
                initializer="zeros",
                trainable=parameter.role == "trained",
                name=f"{step.path}.{name}",
            )
            for name, parameter in step.parameters.items()
        }

    def call(self, x: Tensor, call: Call) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no call")


def apply(function: str | None, x: Tensor) -> Tensor:
    if function is None:
        return x
    return {"relu": tf.nn.relu, "relu6": tf.nn.relu6, "tanh": tf.tanh, "sigmoid": tf.sigmoid}[function](x)


def softmax(x: Tensor) -> Tensor:
    """Over the last axis.

    TensorFlow's own rounds by an element's place in memory: of equal videos it makes videos that differ in the last bit,
    and a batch norm behind it makes that large.
    """
    e = tf.exp(x - tf.stop_gradient(tf.reduce_max(x, -1, keepdims=True)))
    return e / tf.reduce_sum(e, -1, keepdims=True)


def linear(x: Tensor, weight: Any, bias: Any = None) -> Tensor:
    """x (..., features) times weight (features, units), one matrix product whatever the axes before."""
    features, units = weight.shape
    y = tf.matmul(x if len(x.shape) == 2 else tf.reshape(x, (-1, features)), weight)
    if bias is not None:
        y = tf.nn.bias_add(y, bias)
    return y if len(x.shape) == 2 else tf.reshape(y, [*tf.unstack(tf.shape(x)[:-1]), units])


def channels_last(image: Tensor) -> Tensor:
    """TensorFlow computes on images in this layout alone, on the CPU."""
    return tf.transpose(image, (0, 2, 3, 1))


def channels_first(image: Tensor) -> Tensor:
    return tf.transpose(image, (0, 3, 1, 2))


def drop(layer: Layer, x: Tensor, rate: float, call: Call, name: str = "") -> Tensor:
    if not call.training or rate == 0.0:
        return x
    if call.dropout is None:
        channels = getattr(layer.settings, "over", "") == "channels"
        return tf.nn.dropout(x, rate, [*tf.unstack(tf.shape(x)[:2]), 1, 1] if channels else None)
    mask = call.dropout.get(f"{layer.step.path}.{name}" if name else layer.step.path)
    return x if mask is None else x * (tf.cast(mask, x.dtype) * (1.0 / (1.0 - rate)))


def l2_normalize(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    # not x / sqrt(), which TensorFlow rewrites into rsqrt(), and that rounds by an element's place in memory
    length = tf.sqrt(tf.maximum(tf.reduce_sum(x * x, -1, keepdims=True), epsilon))
    return x / tf.maximum(length, epsilon**0.5)


def batch_norm(own: Mapping[str, Any], settings: Any, x: Tensor, call: Call, prefix: str = "") -> Tensor:
    """Over all axes but the last; `own` holds weight, bias and the running statistics."""
    weight, bias = own[f"{prefix}weight"], own[f"{prefix}bias"]
    running_mean, running_variance = own[f"{prefix}running_mean"], own[f"{prefix}running_variance"]
    mean, variance = running_mean, running_variance
    if call.training:
        rows = tf.reshape(x, (-1, weight.shape[0]))
        if call.mask is not None and len(x.shape) == 3:
            valid = tf.cast(tf.reshape(call.mask, (-1, 1)), x.dtype)
            count = tf.maximum(tf.reduce_sum(valid), 1.0)
            mean = tf.reduce_sum(rows * valid, 0) / count
            variance = tf.reduce_sum(tf.math.squared_difference(rows, mean) * valid, 0) / count
        else:
            count = tf.cast(tf.shape(rows)[0], x.dtype)
            mean = tf.reduce_mean(rows, 0)
            variance = tf.reduce_mean(tf.math.squared_difference(rows, mean), 0)
        correction = count / tf.maximum(count - 1.0, 1.0) if settings.variance == "unbiased" else 1.0
        for running, value in ((running_mean, mean), (running_variance, variance * correction)):
            running.assign(running + (value - running) * (1 - settings.decay))
    return (x - mean) * (tf.math.rsqrt(variance + settings.epsilon) * weight) + bias


class Dense(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.activation, linear(x, self.own["weight"], self.own.get("bias")))


class Rescale(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return x * self.settings.scale + self.settings.offset


class Activation(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.function, x)


class Softmax(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return softmax(x)


class LogSoftmax(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return tf.nn.log_softmax(x)


class Dropout(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        if len(x.shape) == 4:
            return channels_first(batch_norm(self.own, self.settings, channels_last(x), call))
        return batch_norm(self.own, self.settings, x, call)


class L2Normalize(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        kernel = tf.transpose(self.own["weight"], (2, 3, 1, 0))  # (height, width, channels, filters)
        y = tf.nn.conv2d(channels_last(x), kernel, 1, "VALID")
        return channels_first(tf.nn.bias_add(y, self.own["bias"]) if self.settings.bias else y)


class MaxPool2d(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return channels_first(tf.nn.max_pool2d(channels_last(x), self.settings.size, self.settings.size, "VALID"))


class Flatten(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        return tf.reshape(x, (-1, *self.step.output_shape))


class AttentionCluster(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        settings, own = self.settings, self.own
        h = tf.tanh(linear(x, own["hidden.weight"], own["hidden.bias"])) if settings.hidden else x
        s = linear(h, own["score.weight"], own.get("score.bias"))
        if settings.score_scale == "1/sqrt(features)":
            s = s * self.step.input_shape[-1] ** -0.5
        if settings.score_norm:
            s = batch_norm(own, settings.score_norm, s, call, "score_norm.")
        s = drop(self, s, settings.score_dropout, call, "score_dropout")
        if settings.normalize_over == "units":
            a = tf.transpose(softmax(s), (0, 2, 1))  # (videos, units, frames)
        else:
            s = tf.transpose(s, (0, 2, 1))  # (videos, units, frames)
            a = softmax(s if call.mask is None else tf.where(call.mask[:, None, :], s, LOWEST))
        if call.mask is not None:
            a = a * tf.cast(call.mask[:, None, :], a.dtype)
        call.recorded[f"{self.step.path}.weights"] = tf.transpose(a, (0, 2, 1))
        v = tf.matmul(a, x)  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            v = l2_normalize(own["alpha"][:, None] * v + own["beta"][:, None])
        if settings.output_scale == "1/sqrt(units)":
            v = v * settings.units**-0.5
        return tf.reshape(v, (-1, *self.step.output_shape))  # (videos, units * features)


class FrameAverage(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        if call.mask is None:
            return tf.reduce_mean(x, 1)
        valid = tf.cast(call.mask, x.dtype)  # (videos, frames)
        return tf.matmul(valid[:, None], x)[:, 0] / tf.maximum(tf.reduce_sum(valid, 1, keepdims=True), 1.0)


class ContextGating(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        norm, own = self.settings.norm, self.own
        g = linear(x, own["weight"], own.get("bias"))
        g = tf.sigmoid(batch_norm(own, norm, g, call, "norm.") if norm else g)
        call.recorded[f"{self.step.path}.gates"] = g
        return x * g


class DeepContextGating(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        settings, own = self.settings, self.own
        h = tf.nn.relu(linear(x, own["hidden.weight"]))
        h = batch_norm(own, settings.norm, h, call, "hidden_norm.")
        h = drop(self, h, settings.dropout, call, "dropout")
        g = linear(h, own["gate.weight"])
        g = tf.sigmoid(batch_norm(own, settings.norm, g, call, "gate_norm."))
        call.recorded[f"{self.step.path}.gates"] = g
        return x * g


class MixtureOfExperts(Layer):
    def call(self, x: Tensor, call: Call) -> Tensor:
        own, classes, mixtures = self.own, self.settings.classes, self.settings.mixtures
        gates = softmax(tf.reshape(linear(x, own["gates.weight"]), (-1, classes, mixtures + 1)))
        experts = tf.sigmoid(linear(x, own["experts.weight"], own["experts.bias"]))
        experts = tf.reshape(experts, (-1, classes, mixtures))  # (videos, classes, mixtures)
        return tf.reduce_sum(gates[:, :, :-1] * experts, 2)  # (videos, classes)


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
