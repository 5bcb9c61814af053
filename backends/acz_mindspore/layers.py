"""The layers in MindSpore. Formulas and settings are those of acz.model.layers; so are parameter names and layouts.

How MindSpore wants them written stands in `base`.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from acz.backend.native_layers import native_layers
from acz.model.layers import activation, attention, dense, dropout, experts, gating, image, normalize
from acz.model.layers.attention import LOWEST
from acz_mindspore.base import (
    Call,
    Layer,
    apply,
    as_type,
    batch_norm,
    drop,
    l2_normalize,
    linear,
    log_softmax,
    number,
    off_diagonal,
    product,
    sigmoid,
    softmax,
    tanh,
    weighted,
)
from acz_mindspore.circulant import CirculantDense, circulant_product  # noqa: F401 (in LAYERS)
from acz_mindspore.pooling import FramePool, GatedBag  # noqa: F401 (in LAYERS)
from acz_mindspore.vlad import LightVLAD, NetFV, NetVLAD, NeXtVLAD  # noqa: F401 (in LAYERS)


class Dense(Layer):
    settings: dense.Dense

    def construct(self, x: Tensor, call: Call) -> Tensor:
        y = linear(self, x, self.weight, self.bias if self.settings.bias else None)
        return apply(self, self.settings.activation, y)


class Rescale(Layer):
    settings: dense.Rescale

    def construct(self, x: Tensor, call: Call) -> Tensor:
        return x * number(self.settings.scale, x) + number(self.settings.offset, x)


class ReverseWhitening(Layer):
    settings: dense.ReverseWhitening

    def construct(self, x: Tensor, call: Call) -> Tensor:
        return (x - number(self.settings.offset, x)) * as_type(self.scale, x.dtype)


class Activation(Layer):
    settings: activation.Activation

    def construct(self, x: Tensor, call: Call) -> Tensor:
        return apply(self, self.settings.function, x)


class Softmax(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return softmax(x)


class LogSoftmax(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return log_softmax(x)


class Dropout(Layer):
    settings: dropout.Dropout

    def construct(self, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    settings: normalize.BatchNorm

    def construct(self, x: Tensor, call: Call) -> Tensor:
        if x.ndim == 4:  # an image: channels last and back
            y = batch_norm(self, self, self.settings, x.transpose((0, 2, 3, 1)), call)
            return y.transpose((0, 3, 1, 2))
        return batch_norm(self, self, self.settings, x, call)


class L2Normalize(Layer):
    settings: normalize.L2Normalize

    def construct(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    settings: image.Conv2d

    def construct(self, x: Tensor, call: Call) -> Tensor:
        if self.on_cpu:  # where MindSpore's own takes twenty times as long, and no float64
            filters, channels, size, _ = self.weight.shape
            videos, _, height, width = x.shape
            windows = ops.unfold(x, size)  # (videos, channels * size * size, places)
            weight = ops.tile(
                as_type(self.weight, x.dtype).reshape((1, filters, channels * size * size)), (videos, 1, 1)
            )
            y = product(self, ops.BatchMatMul(), weight, windows).reshape(
                (videos, filters, height - size + 1, width - size + 1)
            )
        else:
            y = product(self, ops.conv2d, x, self.weight)
        return ops.bias_add(y, as_type(self.bias, y.dtype)) if self.settings.bias else y


class MaxPool2d(Layer):
    settings: image.MaxPool2d

    def construct(self, x: Tensor, call: Call) -> Tensor:
        size = self.settings.size
        if (
            x.dtype == ms.float64
        ):  # which MaxPool's gradient rounds to float32; the other is exact, and ten times as slow
            return ops.max_pool2d(x, size, size)
        return ops.MaxPool(size, size)(x)


class Flatten(Layer):
    def construct(self, x: Tensor, call: Call) -> Tensor:
        return x.flatten(start_dim=1)


class AttentionCluster(Layer):
    settings: attention.AttentionCluster

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        settings = self.settings
        videos, frames, features = x.shape
        h = tanh(self, linear(self, x, self.hidden.weight, self.hidden.bias)) if settings.hidden else x
        s = linear(self, h, self.score.weight, self.score.bias if settings.score_bias else None)
        if settings.score_scale == "1/sqrt(features)":
            s = s * ops.rsqrt(number(features, x))
        if settings.score_norm:
            s = batch_norm(self, self.score_norm, settings.score_norm, s, call)
        s = drop(self, s, settings.score_dropout, call, "score_dropout").transpose((0, 2, 1))  # (videos, units, frames)
        axis = 2 if settings.normalize_over == "frames" else 1
        if call[0] is None:
            a = ops.softmax(s, axis)
        else:
            valid = ops.tile(call[0].reshape((videos, 1, frames)).astype(x.dtype), (1, settings.units, 1))
            if axis == 2:  # chosen, not multiplied: in float16 the gradient of a video without a valid frame overflows
                s = ops.select(valid > 0.0, s, ops.full_like(s, LOWEST))
            a = ops.softmax(s, axis) * valid
        v = weighted(self, a, x)  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            alpha = as_type(self.alpha, x.dtype).reshape((1, -1, 1))
            beta = as_type(self.beta, x.dtype).reshape((1, -1, 1))
            v = l2_normalize(ops.tile(alpha, (videos, 1, features)) * v + ops.tile(beta, (videos, 1, features)))
        if settings.output_scale == "1/sqrt(units)":
            v = v * ops.rsqrt(number(settings.units, x))
        return a.transpose((0, 2, 1)), v.flatten(start_dim=1)  # (videos, units * features)


class ContextGating(Layer):
    settings: gating.ContextGating

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        norm = self.settings.norm
        weight = off_diagonal(self.weight) if self.settings.remove_diagonal else self.weight
        g = linear(self, x, weight, None if norm else self.bias)
        g = sigmoid(batch_norm(self, self.norm, norm, g, call) if norm else g)
        return g, x * g


class DeepContextGating(Layer):
    settings: gating.DeepContextGating

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        settings = self.settings
        h = ops.relu(linear(self, x, self.hidden.weight, None))
        h = batch_norm(self, self.hidden_norm, settings.norm, h, call)
        h = drop(self, h, settings.dropout, call, "dropout")
        g = linear(self, h, self.gate.weight, None)
        g = sigmoid(batch_norm(self, self.gate_norm, settings.norm, g, call))
        return g, x * g


class SqueezeExcitation(Layer):
    settings: gating.SqueezeExcitation

    def construct(self, x: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        h = linear(self, x, self.squeeze.weight, None)
        h = ops.relu(batch_norm(self, self.norm, self.settings.norm, h, call))
        g = sigmoid(linear(self, h, self.excite.weight, None))
        return g, x * g


class MixtureOfExperts(Layer):
    settings: experts.MixtureOfExperts

    def construct(self, x: Tensor, call: Call) -> Tensor:
        classes, mixtures = self.settings.classes, self.settings.mixtures
        circulant = self.settings.circulant
        if circulant:
            gates = circulant_product(self, self.gates, circulant, x, classes * (mixtures + 1))
            experts = circulant_product(self, self.experts, circulant, x, classes * mixtures)
            experts = ops.bias_add(experts, as_type(self.experts.bias, x.dtype))
        else:
            narrow = linear(self, x, self.gates_input.weight, None) if self.settings.low_rank else x
            gates = linear(self, narrow, self.gates.weight, None)
            experts = linear(self, x, self.experts.weight, self.experts.bias)
        gates = softmax(gates.reshape((-1, mixtures + 1)))
        experts = sigmoid(experts).reshape((-1, mixtures))
        y = (gates[:, :mixtures] * experts).sum(-1).reshape((-1, classes))  # (videos, classes)
        gating = self.settings.input_gating
        if not gating:
            return y
        g = linear(self, x, self.gating.weight, None)
        if gating.remove_diagonal:
            square = as_type(self.gating.weight, x.dtype)[:classes]
            diagonal = (square * ops.eye(classes, classes, x.dtype)).sum(0, keepdims=True)
            g = g - ops.tile(diagonal, (x.shape[0], 1)) * y
        return y * sigmoid(batch_norm(self, self.gating_norm, gating.norm, g, call))


LAYERS: dict[str, type[Layer]] = native_layers(globals())
