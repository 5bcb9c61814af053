"""Parts of the layers in TensorFlow: a layer in place, what a run shares, and the functions that several use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

from acz.model.layers.base import Parameter
from acz.model.layers.normalize import BatchNormSettings
from acz.model.precision import Precision
from acz.model.spec import PlacedLayer
from acz_tensorflow.processes import total_of_processes
from acz_tensorflow.products import product


@dataclass
class Call:
    """The data that the layers share in one run: valid frames, dropout masks, records."""

    training: bool = False
    mask: Tensor | None = None  # bool (videos, frames)
    dtype: str | None = None
    """The type that layers take, and that products are computed in. None: the type of the parameters."""
    dropout: Mapping[str, Tensor] | None = None
    """Masks by path. None: the framework draws its own; a path that is missing drops nothing."""
    recorded: dict[str, Tensor] = field(default_factory=dict)
    shared: bool = False
    """True in a step that all processes share, each with its part of the videos."""


class Layer(keras.layers.Layer):
    """A layer in place. `own` holds its parameters by local name, as zeros; their names are the spec's paths.

    The model calls `call` itself. Keras' policy for low precision is the model's: in its call a parameter is read in
    that type, but for those of a batch norm.
    """

    low: Precision | None = None
    """The precision of the products, where it is lower than the parameters'."""

    def __init__(self, placed: PlacedLayer, dtype: str) -> None:
        scope = re.sub(r"^_|[^\w.]", ".", placed.path, flags=re.ASCII)  # what TensorFlow's graphs take for a name
        super().__init__(name=scope, dtype=dtype)
        self.placed, self.settings = placed, placed.layer
        self.own = {name: self._variable(name, parameter) for name, parameter in placed.parameters.items()}
        self.build((None, *placed.input_shape))

    def _variable(self, name: str, parameter: Parameter) -> keras.Variable:
        beside = f"{name.rpartition('.')[0]}.running_mean".lstrip(".")  # of the same batch norm, if it is in one
        return self.add_weight(
            shape=parameter.shape,
            initializer="zeros",
            trainable=parameter.role == "trained",
            name=f"{self.placed.path}.{name}",
            autocast=beside not in self.placed.parameters,
            aggregation="mean"
            if parameter.role == "statistic"
            else "none",  # of the replicas of a tf.distribute strategy
        )

    def build(self, input_shape: Any) -> None:
        """Nothing is left to make; Keras notes the shape, which its summaries show."""

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (None, *self.placed.output_shape)

    def call(self, x: Tensor, call: Call) -> Tensor:
        """The layer's values, in the type of x or in float32."""
        raise TypeError(f"{type(self).__name__} has no call")


def widened(x: Any) -> Any:
    """x, in float32 where its type has fewer bits: for sums of many numbers, exponentials and statistics."""
    return tf.cast(x, tf.float32) if x.dtype in (tf.float16, tf.bfloat16) else x


def apply(function: str | None, x: Tensor) -> Tensor:
    if function is None:
        return x
    return {"relu": tf.nn.relu, "relu6": tf.nn.relu6, "tanh": tf.tanh, "sigmoid": tf.sigmoid}[function](x)


def softmax(x: Tensor) -> Tensor:
    """Over the last axis, in float32 or float64.

    TensorFlow's own rounds by an element's place in memory: of equal videos it makes videos that differ in the last bit,
    and a batch norm behind it makes that large.
    """
    x = widened(x)
    e = tf.exp(x - tf.stop_gradient(tf.reduce_max(x, -1, keepdims=True)))
    return e / tf.reduce_sum(e, -1, keepdims=True)


def linear(x: Tensor, weight: Any, bias: Any = None, *, low: Precision | None = None) -> Tensor:
    """x (..., features) times weight (features, units), one matrix product whatever the axes before."""
    features, units = weight.shape
    x = tf.cast(x, weight.dtype)
    y = product(x if len(x.shape) == 2 else tf.reshape(x, (-1, features)), weight, low)
    if bias is not None:
        y = tf.nn.bias_add(y, bias)
    return y if len(x.shape) == 2 else tf.reshape(y, [*tf.unstack(tf.shape(x)[:-1]), units])


def off_diagonal(weight: Any) -> Tensor:
    """A square matrix with zeros on its diagonal."""
    return weight * (1.0 - tf.eye(weight.shape[0], dtype=weight.dtype))


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
    mask = call.dropout.get(f"{layer.placed.path}.{name}" if name else layer.placed.path)
    return x if mask is None else x * (tf.cast(mask, x.dtype) * (1.0 / (1.0 - rate)))


def l2_normalize(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    # not x / sqrt(), which TensorFlow rewrites into rsqrt(), and that rounds by an element's place in memory
    x = widened(x)
    length = tf.sqrt(tf.maximum(tf.reduce_sum(x * x, -1, keepdims=True), epsilon))
    return x / tf.maximum(length, epsilon**0.5)


def moments_of_processes(rows: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and variance of the rows of all processes.

    Args:
        rows: of this process, (rows, features).
        valid: 1 for each row that counts, else 0, (rows, 1). None: all count.
    """
    count = tf.cast(tf.shape(rows)[0], rows.dtype) if valid is None else tf.reduce_sum(valid)
    sums = tf.reduce_sum(rows if valid is None else rows * valid, 0)
    together = total_of_processes(tf.concat([count[None], sums], 0))
    count = tf.maximum(together[0], 1.0)
    mean = together[1:] / count
    squares = tf.math.squared_difference(rows, mean)
    return count, mean, total_of_processes(tf.reduce_sum(squares if valid is None else squares * valid, 0)) / count


def batch_norm(own: Mapping[str, Any], settings: BatchNormSettings, x: Tensor, call: Call, prefix: str = "") -> Tensor:
    """Over all axes but the last, in float32 or float64; `own` holds weight, bias and the running statistics."""
    x = widened(x)
    weight, bias = own[f"{prefix}weight"], own[f"{prefix}bias"]
    running_mean, running_variance = own[f"{prefix}running_mean"], own[f"{prefix}running_variance"]
    mean, variance = running_mean, running_variance
    if call.training:
        rows = tf.reshape(x, (-1, weight.shape[0]))
        valid = None
        if call.mask is not None and len(x.shape) == 3:
            valid = tf.cast(tf.reshape(call.mask, (-1, 1)), x.dtype)
        if call.shared:
            count, mean, variance = moments_of_processes(rows, valid)
        elif valid is not None:
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
