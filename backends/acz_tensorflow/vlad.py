"""Aggregation by clusters in TensorFlow. Formulas and settings are those of acz.model.layers.vlad; so are parameter names and layouts."""

from __future__ import annotations

import tensorflow as tf
from tensorflow import Tensor

from acz.model.layers import vlad
from acz.model.layers.vlad import LEAST_SPREAD
from acz_tensorflow.base import Call, Layer, batch_norm, l2_normalize, linear, softmax, widened
from acz_tensorflow.products import product


class SoftAssignment(Layer):
    settings: vlad.SoftAssignment


def assign(layer: SoftAssignment, x: Tensor, call: Call) -> Tensor:
    """Shares of the frames, (videos, frames, clusters)."""
    norm, own = layer.settings.norm, layer.own
    s = linear(x, own["assignment.weight"], own.get("assignment.bias"), low=layer.low)
    a = softmax(batch_norm(own, norm, s, call, "norm.") if norm else s)
    if call.mask is not None:
        a = a * tf.cast(tf.expand_dims(call.mask, 2), a.dtype)
    call.recorded[f"{layer.placed.path}.assignments"] = a
    return a


def of_clusters(v: Tensor) -> Tensor:
    """L2-normalised for each cluster, then as a whole. The second length follows from the first ones: v is scaled once."""
    squares = tf.reduce_sum(v * v, 1, keepdims=True)  # (videos, 1, clusters)
    # not 1 / sqrt(), which TensorFlow rewrites into rsqrt(), and that rounds by an element's place in memory
    size = tf.maximum(tf.sqrt(tf.maximum(squares, 1e-12)), 1e-6)
    whole = tf.reduce_sum(squares / (size * size), 2, keepdims=True)
    size = size * tf.maximum(tf.sqrt(tf.maximum(whole, 1e-12)), 1e-6)
    return v / size  # (videos, features, clusters)


class NetVLAD(SoftAssignment):
    def call(self, x: Tensor, call: Call) -> Tensor:
        a = assign(self, x, call)
        total = tf.reduce_sum(a, 1, keepdims=True)  # (videos, 1, clusters)
        sums = product(x, tf.cast(a, x.dtype), self.low, transpose_a=True)
        v = of_clusters(widened(sums) - widened(self.own["centres"]) * total)
        return tf.reshape(v, (-1, *self.placed.output_shape))  # (videos, features * clusters)


class LightVLAD(SoftAssignment):
    settings: vlad.LightVLAD

    def call(self, x: Tensor, call: Call) -> Tensor:
        a = assign(self, x, call)
        v = widened(product(x, tf.cast(a, x.dtype), self.low, transpose_a=True))
        v = of_clusters(v * tf.sigmoid(widened(self.own["gates"])) if self.settings.gated else v)
        return tf.reshape(v, (-1, *self.placed.output_shape))  # (videos, features * clusters)


class NetFV(SoftAssignment):
    settings: vlad.NetFV

    def call(self, x: Tensor, call: Call) -> Tensor:
        coupling, own = self.settings.coupling, self.own
        a, x = assign(self, x, call), widened(x)
        c = widened(own["centres"]) if coupling is None else widened(own["assignment.weight"]) * coupling
        spread = widened(own["spread"])
        sigma = spread * spread + LEAST_SPREAD
        total = tf.reduce_sum(a, 1, keepdims=True)  # (videos, 1, clusters)
        ax = product(x, a, self.low, transpose_a=True)  # (videos, features, clusters)
        axx = product(x * x, a, self.low, transpose_a=True)
        residual = ax - c * total
        width = self.placed.output_shape[0] // 2
        first = tf.reshape(of_clusters(residual / sigma), (-1, width))
        second = tf.reshape((axx - c * (ax + residual)) / (sigma * sigma) - total, (-1, width))
        return tf.concat([first, l2_normalize(second)], 1)  # (videos, 2 * features * clusters)


class NeXtVLAD(Layer):
    settings: vlad.NeXtVLAD

    def call(self, x: Tensor, call: Call) -> Tensor:
        groups, clusters, own = self.settings.groups, self.settings.clusters, self.own
        size = own["centres"].shape[0]
        low = self.low
        x = linear(x, own["expansion.weight"], own["expansion.bias"], low=low)  # (videos, frames, E)
        alpha = tf.sigmoid(widened(linear(x, own["attention.weight"], own["attention.bias"], low=low)))
        if call.mask is not None:
            alpha = alpha * tf.cast(tf.expand_dims(call.mask, 2), alpha.dtype)
        s = batch_norm(own, self.settings.norm, linear(x, own["assignment.weight"], low=low), call, "norm.")
        videos, frames = tf.unstack(tf.shape(x)[:2])
        a = softmax(tf.reshape(s, (videos, frames * groups, clusters)))
        a = a * tf.reshape(alpha, (videos, frames * groups, 1))
        call.recorded[f"{self.placed.path}.attention"] = alpha
        call.recorded[f"{self.placed.path}.assignments"] = tf.reshape(a, tf.shape(s))
        x = tf.reshape(x, (videos, frames * groups, size))  # (videos, frames * groups, E / groups)
        total = tf.reduce_sum(a, 1, keepdims=True)  # (videos, 1, clusters)
        v = widened(product(x, tf.cast(a, x.dtype), low, transpose_a=True)) - widened(own["centres"]) * total
        length = tf.sqrt(tf.maximum(tf.reduce_sum(v * v, 1, keepdims=True), 1e-12))
        return tf.reshape(v / tf.maximum(length, 1e-6), (-1, *self.placed.output_shape))  # as in l2_normalize
