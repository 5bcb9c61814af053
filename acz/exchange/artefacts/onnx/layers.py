"""Every layer in evaluation mode, in operators of ONNX. Formulas and settings are those of acz.model.layers.

A function takes the graph, the layer in place and its input's name, and gives its output's name. To add a layer, write its
function `write_TYPE`; shapes below start with the axis of videos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from acz.exchange.artefacts.onnx.circulant import product, write_circulant_dense  # noqa: F401 (in WRITERS)
from acz.exchange.artefacts.onnx.functions import (
    batch_norm,
    function,
    l2_normalize,
    linear,
    log_softmax,
    sigmoid,
    softmax,
)
from acz.exchange.artefacts.onnx.graph import Graph
from acz.exchange.artefacts.onnx.pooling import write_frame_pool, write_gated_bag  # noqa: F401 (in WRITERS)
from acz.exchange.artefacts.onnx.vlad import (  # noqa: F401 (in WRITERS)
    write_light_vlad,
    write_net_fv,
    write_netvlad,
    write_nextvlad,
)
from acz.model.layers import LAYERS
from acz.model.layers.activation import Activation
from acz.model.layers.attention import LOWEST, AttentionCluster
from acz.model.layers.dense import Dense, Rescale, ReverseWhitening
from acz.model.layers.experts import MixtureOfExperts
from acz.model.layers.gating import ContextGating, DeepContextGating, SqueezeExcitation
from acz.model.layers.image import Conv2d, MaxPool2d
from acz.model.layers.normalize import BatchNorm, L2Normalize
from acz.model.spec import PlacedLayer


def write_dense(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(Dense, placed.layer)
    y = linear(graph, x, "weight", "bias" if layer.bias else None, len(placed.input_shape))
    return function(graph, layer.activation, y) if layer.activation else y


def write_rescale(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(Rescale, placed.layer)
    scaled = graph.op("Mul", x, graph.constant(layer.scale))
    return graph.op("Add", scaled, graph.constant(layer.offset)) if layer.offset else scaled


def write_reverse_whitening(graph: Graph, placed: PlacedLayer, x: str) -> str:
    centred = graph.op("Sub", x, graph.constant(cast(ReverseWhitening, placed.layer).offset))
    return graph.op("Mul", centred, graph.parameter("scale"))


def write_activation(graph: Graph, placed: PlacedLayer, x: str) -> str:
    return function(graph, cast(Activation, placed.layer).function, x)


def write_softmax(graph: Graph, placed: PlacedLayer, x: str) -> str:
    return softmax(graph, x)


def write_log_softmax(graph: Graph, placed: PlacedLayer, x: str) -> str:
    return log_softmax(graph, x)


def write_dropout(graph: Graph, placed: PlacedLayer, x: str) -> str:
    """Nothing: in evaluation dropout is the identity."""
    return x


def write_batch_norm(graph: Graph, placed: PlacedLayer, x: str) -> str:
    return batch_norm(graph, x, cast(BatchNorm, placed.layer).epsilon, of_image=len(placed.input_shape) == 3)


def write_l2_normalize(graph: Graph, placed: PlacedLayer, x: str) -> str:
    return l2_normalize(graph, x, cast(L2Normalize, placed.layer).epsilon)


def write_conv2d(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(Conv2d, placed.layer)
    inputs = [x, graph.parameter("weight"), *([graph.parameter("bias")] if layer.bias else [])]
    return graph.op("Conv", *inputs, kernel_shape=[layer.size, layer.size])


def write_max_pool2d(graph: Graph, placed: PlacedLayer, x: str) -> str:
    sides = [cast(MaxPool2d, placed.layer).size] * 2
    return graph.op("MaxPool", x, kernel_shape=sides, strides=sides)


def write_flatten(graph: Graph, placed: PlacedLayer, x: str) -> str:
    return graph.op("Reshape", x, graph.integers(0, placed.output_shape[0]))


def write_attention_cluster(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(AttentionCluster, placed.layer)
    h = graph.op("Tanh", linear(graph, x, "hidden.weight", "hidden.bias", 2)) if layer.hidden else x
    s = linear(graph, h, "score.weight", "score.bias" if layer.score_bias else None, 2)  # (videos, frames, units)
    if layer.score_scale == "1/sqrt(features)":
        s = graph.op("Div", s, graph.constant(placed.input_shape[1] ** 0.5))
    if layer.score_norm:
        s = batch_norm(graph, s, layer.score_norm.epsilon, "score_norm.")
    a = _attention(graph, s, layer.normalize_over)  # (videos, units, frames)
    v = graph.op("MatMul", a, x)  # (videos, units, features)
    if layer.pre_normalize:
        v = l2_normalize(graph, v)
    if layer.shift:
        alpha, beta = (graph.op("Unsqueeze", graph.parameter(name), graph.integers(1)) for name in ("alpha", "beta"))
        v = l2_normalize(graph, graph.op("Add", graph.op("Mul", v, alpha), beta))
    if layer.output_scale == "1/sqrt(units)":
        v = graph.op("Div", v, graph.constant(layer.units**0.5))
    return graph.op("Reshape", v, graph.integers(0, placed.output_shape[0]))  # (videos, units * features)


def _attention(graph: Graph, s: str, over: str) -> str:
    """Weights of the frames from scores (videos, frames, units), transposed: that is the side on which they are
    multiplied, and a softmax over the frames then runs along memory."""
    if over == "units":
        s = softmax(graph, s)
    s = graph.op("Transpose", s, perm=[0, 2, 1])  # (videos, units, frames)
    valid = None if graph.mask is None else graph.op("Unsqueeze", graph.mask, graph.integers(1))
    if over == "frames":
        s = softmax(graph, s if valid is None else graph.op("Where", valid, s, graph.constant(LOWEST)))
    # once more: in a video without a valid frame the softmax gives all of them the same weight
    return s if valid is None else graph.op("Where", valid, s, graph.constant(0.0))


def write_context_gating(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer, axes = cast(ContextGating, placed.layer), len(placed.input_shape)
    norm = layer.norm
    g = linear(graph, x, "weight", None if norm else "bias", axes)
    if layer.remove_diagonal:
        diagonal = graph.changed_parameter("weight", "diagonal", np.diagonal(graph.value_of("weight")))
        g = graph.op("Sub", g, graph.op("Mul", diagonal, x))
    return graph.op("Mul", x, sigmoid(graph, batch_norm(graph, g, norm.epsilon, "norm.") if norm else g))


def write_deep_context_gating(graph: Graph, placed: PlacedLayer, x: str) -> str:
    epsilon, axes = cast(DeepContextGating, placed.layer).norm.epsilon, len(placed.input_shape)
    h = graph.op("Relu", linear(graph, x, "hidden.weight", None, axes))
    h = batch_norm(graph, h, epsilon, "hidden_norm.")
    g = batch_norm(graph, linear(graph, h, "gate.weight", None, axes), epsilon, "gate_norm.")
    return graph.op("Mul", x, sigmoid(graph, g))


def write_squeeze_excitation(graph: Graph, placed: PlacedLayer, x: str) -> str:
    epsilon, axes = cast(SqueezeExcitation, placed.layer).norm.epsilon, len(placed.input_shape)
    h = batch_norm(graph, linear(graph, x, "squeeze.weight", None, axes), epsilon, "norm.")
    return graph.op("Mul", x, sigmoid(graph, linear(graph, graph.op("Relu", h), "excite.weight", None, axes)))


def write_mixture_of_experts(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(MixtureOfExperts, placed.layer)
    if layer.circulant:
        features, each = placed.input_shape[0], layer.classes * layer.mixtures
        gates = product(graph, x, layer.circulant, features, each + layer.classes, "gates.")
        experts = product(graph, x, layer.circulant, features, each, "experts.")
        experts = graph.op("Add", experts, graph.parameter("experts.bias"))
    else:
        narrow = linear(graph, x, "gates_input.weight", None, 1) if layer.low_rank else x
        gates = linear(graph, narrow, "gates.weight", None, 1)
        experts = linear(graph, x, "experts.weight", "experts.bias", 1)
    gates = graph.op("Reshape", gates, graph.integers(0, layer.classes, -1))
    gates = graph.op("Slice", softmax(graph, gates), *(graph.integers(n) for n in (0, layer.mixtures, 2)))
    experts = sigmoid(graph, experts)
    experts = graph.op("Reshape", experts, graph.integers(0, layer.classes, -1))  # (videos, classes, mixtures)
    y = graph.op("ReduceSum", graph.op("Mul", gates, experts), graph.integers(2), keepdims=0)
    if not layer.input_gating:
        return y
    g = linear(graph, x, "gating.weight", None, 1)
    if layer.input_gating.remove_diagonal:
        diagonal = graph.changed_parameter("gating.weight", "diagonal", np.diagonal(graph.value_of("gating.weight")))
        g = graph.op("Sub", g, graph.op("Mul", diagonal, y))
    g = batch_norm(graph, g, layer.input_gating.norm.epsilon, "gating_norm.")
    return graph.op("Mul", y, sigmoid(graph, g))


def writers(names: Mapping[str, Any]) -> dict[str, Callable[[Graph, PlacedLayer, str], str]]:
    """The function `write_TYPE` of each layer, by the layer's type. Raises ImportError where one is missing."""
    if missing := [f"write_{layer}" for layer in LAYERS if f"write_{layer}" not in names]:
        raise ImportError(f"{__name__} must define {', '.join(missing)}: every layer is written")
    return {layer: names[f"write_{layer}"] for layer in LAYERS}


WRITERS = writers(globals())

OUTPUTS: dict[str, Callable[[Graph, str], str]] = {
    "none": lambda graph, x: graph.op("Identity", x),
    "probabilities": lambda graph, x: graph.op("Identity", x),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "sigmoid": sigmoid,
}
