"""Pooling over frames, and bags of frames, in TensorFlow. Formulas and settings are those of acz.model.layers.pooling and acz.model.layers.bags."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tensorflow import Tensor

from acz.model.layers import pooling
from acz.model.layers.attention import LOWEST
from acz.model.spec import PlacedLayer
from acz_tensorflow.base import Call, Layer, batch_norm, l2_normalize, linear, widened


def pool(kind: str, x: Tensor, mask: Tensor | None) -> Tensor:
    """One number for each feature, of the valid frames of each video; in float32 or float64."""
    x = widened(x)
    if kind == "max":
        if mask is None:
            return tf.reduce_max(x, 1)
        y = tf.reduce_max(tf.where(tf.expand_dims(mask, 2), x, LOWEST), 1)
        return tf.where(tf.reduce_any(mask, 1, keepdims=True), y, 0.0)
    if kind == "sum":
        return tf.reduce_sum(x, 1) if mask is None else tf.matmul(tf.expand_dims(tf.cast(mask, x.dtype), 1), x)[:, 0]
    if kind == "l2_norm":
        s = pool("sum", x * x, mask)
        return s / tf.maximum(tf.sqrt(tf.maximum(s, 1e-12)), 1e-6)  # not x / sqrt(): see l2_normalize
    valid = tf.ones(tf.shape(x)[:2], x.dtype) if mask is None else tf.cast(mask, x.dtype)
    count = tf.maximum(tf.reduce_sum(valid, 1, keepdims=True), 1.0)
    mean = pool("sum", x, mask) / count
    return mean if kind == "mean" else pool("sum", tf.square(x - mean[:, None]), mask) / count


class FramePool(Layer):
    settings: pooling.FramePool

    def call(self, x: Tensor, call: Call) -> Tensor:
        found = [pool(kind, x, call.mask) for kind in self.settings.pooling]  # of (videos, features)
        return tf.concat([l2_normalize(y) for y in found] if self.settings.normalize else found, 1)


class GatedBag(Layer):
    settings: pooling.GatedBag

    def call(self, x: Tensor, call: Call) -> Tensor:
        own = self.own
        largest = l2_normalize(pool("max", x, call.mask))  # (videos, clusters)
        g = linear(largest, own["squeeze.weight"], low=self.low)
        g = linear(g, own["excite.weight"], low=self.low)
        g = tf.sigmoid(batch_norm(own, self.settings.norm, g, call, "norm."))
        call.recorded[f"{self.placed.path}.gates"] = g
        return l2_normalize(g * pool("sum", x, call.mask))  # (videos, clusters)


def over_bags(placed: PlacedLayer, run: Callable[[Tensor, Call], Tensor], x: Tensor, call: Call) -> Tensor:
    """A layer's vectors of each video's bags, averaged over the bags that have a valid frame."""
    mask, bag, features = call.mask, placed.bag, placed.input_shape[-1]
    videos, frames = tf.unstack(tf.shape(x)[:2])
    fill = [0, tf.math.floormod(-frames, bag)]
    valid = tf.fill([videos, frames], True) if mask is None else mask
    call.mask = tf.reshape(tf.pad(valid, [[0, 0], fill]), (-1, bag))
    held = tf.reshape(tf.reduce_any(call.mask, 1), (videos, -1))  # (videos, bags)
    y = run(tf.reshape(tf.pad(x, [[0, 0], fill, [0, 0]]), (-1, bag, features)), call)
    call.mask = mask
    return pool("mean", tf.reshape(y, (videos, -1, *placed.output_shape)), held)
