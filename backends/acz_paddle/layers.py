"""The layers in PaddlePaddle. Formulas and settings are those of acz.model.layers; so are parameter names and layouts."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from acz.backend.native_layers import native_layers
from acz.model.layers import activation, attention, dense, dropout, experts, gating, image, normalize
from acz.model.layers.attention import LOWEST
from acz_paddle.base import (
    Call,
    Layer,
    apply,
    batch_norm,
    drop,
    l2_normalize,
    linear,
    log_softmax,
    off_diagonal,
    wide,
)
from acz_paddle.circulant import CirculantDense, product  # noqa: F401 (in LAYERS)
from acz_paddle.pooling import FramePool, GatedBag  # noqa: F401 (in LAYERS)
from acz_paddle.products import bilinear
from acz_paddle.products import product as multiply
from acz_paddle.vlad import LightVLAD, NetFV, NetVLAD, NeXtVLAD  # noqa: F401 (in LAYERS)


class Dense(Layer):
    settings: dense.Dense

    def forward(self, x: Tensor, call: Call) -> Tensor:
        y = linear(x, self.weight, self.bias if self.settings.bias else None, low=self.low)
        return apply(self.settings.activation, y)


class Rescale(Layer):
    settings: dense.Rescale

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return x * self.settings.scale + self.settings.offset


class ReverseWhitening(Layer):
    settings: dense.ReverseWhitening

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return (x - self.settings.offset) * self.scale.astype(x.dtype)


class Activation(Layer):
    settings: activation.Activation

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return apply(self.settings.function, x)


class Softmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return F.softmax(wide(x), -1).astype(x.dtype)


class LogSoftmax(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return log_softmax(wide(x)).astype(x.dtype)


class Dropout(Layer):
    settings: dropout.Dropout

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return drop(self, x, self.settings.rate, call)


class BatchNorm(Layer):
    settings: normalize.BatchNorm

    def forward(self, x: Tensor, call: Call) -> Tensor:
        if x.ndim == 4:  # an image: channels last and back
            return batch_norm(self, self, self.settings, x.transpose([0, 2, 3, 1]), call).transpose([0, 3, 1, 2])
        return batch_norm(self, self, self.settings, x, call)


class L2Normalize(Layer):
    settings: normalize.L2Normalize

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return l2_normalize(x, self.settings.epsilon)


class Conv2d(Layer):
    settings: image.Conv2d

    def forward(self, x: Tensor, call: Call) -> Tensor:
        y = bilinear(F.conv2d, x, self.weight.astype(x.dtype), self.low)
        if not self.settings.bias:
            return y
        bias = self.bias.astype(y.dtype).reshape(
            [-1, 1, 1]
        )  # F.conv2d itself takes longer over adding it than over the convolution
        return y.add_(bias) if paddle.in_dynamic_mode() and self.low is None else y + bias


class MaxPool2d(Layer):
    settings: image.MaxPool2d

    def forward(self, x: Tensor, call: Call) -> Tensor:
        return F.max_pool2d(x, self.settings.size)


class Flatten(Layer):
    def forward(self, x: Tensor, call: Call) -> Tensor:
        return x.flatten(1)


class AttentionCluster(Layer):
    settings: attention.AttentionCluster

    def forward(self, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        features = x.shape[-1]
        h = paddle.tanh(linear(x, self.hidden.weight, self.hidden.bias, low=self.low)) if settings.hidden else x
        s = linear(h, self.score.weight, self.score.bias if settings.score_bias else None, low=self.low)
        if settings.score_scale == "1/sqrt(features)":
            s = s * features**-0.5
        if settings.score_norm:
            s = batch_norm(self, self.score_norm, settings.score_norm, s, call)
        s = drop(self, s, settings.score_dropout, call, "score_dropout")
        s = wide(s).transpose([0, 2, 1])  # (videos, units, frames)
        axis = 2 if settings.normalize_over == "frames" else 1
        if call.mask is None:
            a = F.softmax(s, axis)
        else:
            valid = call.mask.unsqueeze(1)
            a = F.softmax(s.masked_fill(~valid, LOWEST) if axis == 2 else s, axis) * valid.astype(s.dtype)
        call.recorded[f"{self.path}.weights"] = a.transpose([0, 2, 1])
        v = multiply(a.astype(x.dtype), x, self.low)  # (videos, units, features)
        if settings.pre_normalize:
            v = l2_normalize(v)
        if settings.shift:
            v = l2_normalize(wide(self.alpha).unsqueeze(1) * wide(v) + wide(self.beta).unsqueeze(1)).astype(x.dtype)
        if settings.output_scale == "1/sqrt(units)":
            v = v * settings.units**-0.5
        return v.flatten(1)  # (videos, units * features)


class ContextGating(Layer):
    settings: gating.ContextGating

    def forward(self, x: Tensor, call: Call) -> Tensor:
        norm = self.settings.norm
        weight = off_diagonal(self.weight) if self.settings.remove_diagonal else self.weight
        g = linear(x, weight, None if norm else self.bias, low=self.low)
        g = F.sigmoid(batch_norm(self, self.norm, norm, g, call) if norm else g)
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class DeepContextGating(Layer):
    settings: gating.DeepContextGating

    def forward(self, x: Tensor, call: Call) -> Tensor:
        settings = self.settings
        h = F.relu(linear(x, self.hidden.weight, low=self.low))
        h = batch_norm(self, self.hidden_norm, settings.norm, h, call)
        h = drop(self, h, settings.dropout, call, "dropout")
        g = linear(h, self.gate.weight, low=self.low)
        g = F.sigmoid(batch_norm(self, self.gate_norm, settings.norm, g, call))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class SqueezeExcitation(Layer):
    settings: gating.SqueezeExcitation

    def forward(self, x: Tensor, call: Call) -> Tensor:
        h = F.relu(batch_norm(self, self.norm, self.settings.norm, linear(x, self.squeeze.weight, low=self.low), call))
        g = F.sigmoid(linear(h, self.excite.weight, low=self.low))
        call.recorded[f"{self.path}.gates"] = g
        return x * g


class MixtureOfExperts(Layer):
    settings: experts.MixtureOfExperts

    def forward(self, x: Tensor, call: Call) -> Tensor:
        classes, mixtures = self.settings.classes, self.settings.mixtures
        if circulant := self.settings.circulant:
            gates = product(self.gates, circulant, x, classes * (mixtures + 1))
            experts = product(self.experts, circulant, x, classes * mixtures)
            experts = experts + self.experts.bias.astype(experts.dtype)
        else:
            narrow = linear(x, self.gates_input.weight, low=self.low) if self.settings.low_rank else x
            gates = linear(narrow, self.gates.weight, low=self.low)
            experts = linear(x, self.experts.weight, self.experts.bias, low=self.low)
        gates = F.softmax(wide(gates).reshape([-1, classes, mixtures + 1]), 2)
        experts = F.sigmoid(wide(experts))
        experts = experts.reshape([-1, classes, mixtures])  # (videos, classes, mixtures)
        y = (gates[:, :, :-1] * experts).sum(2)  # (videos, classes)
        gating = self.settings.input_gating
        if not gating:
            return y
        g = wide(linear(x, self.gating.weight, low=self.low))
        if gating.remove_diagonal:
            square = wide(self.gating.weight[:classes])
            g = g - (square * paddle.eye(classes, dtype=square.dtype)).sum(0) * y
        return y * F.sigmoid(batch_norm(self, self.gating_norm, gating.norm, g, call))


LAYERS: dict[str, type[Layer]] = native_layers(globals())
