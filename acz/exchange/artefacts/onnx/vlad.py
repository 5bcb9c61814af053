"""Aggregation by clusters in operators of ONNX. Formulas and settings are those of acz.model.layers.vlad."""

from __future__ import annotations

from typing import cast

from acz.exchange.artefacts.onnx.functions import batch_norm, linear, sigmoid, softmax
from acz.exchange.artefacts.onnx.graph import Graph
from acz.model.layers.vlad import LEAST_SPREAD, LightVLAD, NetFV, NeXtVLAD, SoftAssignment
from acz.model.spec import PlacedLayer


def assign(graph: Graph, placed: PlacedLayer, x: str) -> str:
    """Shares of the frames, (videos, frames, clusters)."""
    norm = cast(SoftAssignment, placed.layer).norm
    s = linear(graph, x, "assignment.weight", None if norm else "assignment.bias", 2)
    a = softmax(graph, batch_norm(graph, s, norm.epsilon, "norm.") if norm else s)
    if graph.mask is None:
        return a
    return graph.op("Where", graph.op("Unsqueeze", graph.mask, graph.integers(2)), a, graph.constant(0.0))


def total_of(graph: Graph, a: str) -> str:
    """The sum of the frames' shares in each cluster: (videos, 1, clusters)."""
    return graph.op("ReduceSum", a, graph.integers(1), keepdims=1)


def joined(graph: Graph, x: str, a: str) -> str:
    """sum_t a[t, k] x[t, f], (videos, features, clusters)."""
    return graph.op("MatMul", graph.op("Transpose", x, perm=[0, 2, 1]), a)


def residual(graph: Graph, ax: str, centres: str, total: str) -> str:
    """sum_t a[t, k] (x[t, f] - c[f, k]), (videos, features, clusters)."""
    return graph.op("Sub", ax, graph.op("Mul", centres, total))


def of_clusters(graph: Graph, v: str, width: int) -> str:
    """L2-normalised over the features for each cluster, then as a whole: (videos, features, clusters) to (videos, `width`)."""
    squares = graph.op("ReduceSumSquare", v, axes=[1], keepdims=1)
    v = graph.op("Div", v, graph.op("Sqrt", graph.at_least(squares, 1e-12)))
    return as_a_whole(graph, v, width)


def as_a_whole(graph: Graph, v: str, width: int) -> str:
    """L2-normalised over features and clusters, flattened: (videos, features, clusters) to (videos, `width`).

    Summed over features, then clusters: a runtime that adds the squares of all one after another loses digits of their root, which a
    batch norm behind magnifies (1e-4 off for 16,384).
    """
    squares = graph.op("ReduceSumSquare", v, axes=[1], keepdims=1)
    whole = graph.op("ReduceSum", squares, graph.integers(2), keepdims=1)
    v = graph.op("Div", v, graph.op("Sqrt", graph.at_least(whole, 1e-12)))
    return graph.op("Reshape", v, graph.integers(0, width))


def write_netvlad(graph: Graph, placed: PlacedLayer, x: str) -> str:
    a = assign(graph, placed, x)
    v = residual(graph, joined(graph, x, a), graph.parameter("centres"), total_of(graph, a))
    return of_clusters(graph, v, placed.output_shape[0])


def write_light_vlad(graph: Graph, placed: PlacedLayer, x: str) -> str:
    v = joined(graph, x, assign(graph, placed, x))
    if cast(LightVLAD, placed.layer).gated:
        v = graph.op("Mul", v, sigmoid(graph, graph.parameter("gates")))
    return of_clusters(graph, v, placed.output_shape[0])


def write_nextvlad(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(NeXtVLAD, placed.layer)
    x = linear(graph, x, "expansion.weight", "expansion.bias", 2)  # (videos, frames, E)
    alpha = sigmoid(graph, linear(graph, x, "attention.weight", "attention.bias", 2))
    if graph.mask is not None:
        valid = graph.op("Unsqueeze", graph.mask, graph.integers(2))
        alpha = graph.op("Where", valid, alpha, graph.constant(0.0))
    s = batch_norm(graph, linear(graph, x, "assignment.weight", None, 2), layer.norm.epsilon, "norm.")
    a = softmax(graph, graph.op("Reshape", s, graph.integers(0, -1, layer.clusters)))
    a = graph.op("Mul", a, graph.op("Reshape", alpha, graph.integers(0, -1, 1)))  # (videos, frames * groups, clusters)
    size = placed.output_shape[0] // layer.clusters
    x = graph.op("Reshape", x, graph.integers(0, -1, size))  # (videos, frames * groups, E / groups)
    v = residual(graph, joined(graph, x, a), graph.parameter("centres"), total_of(graph, a))
    squares = graph.op("ReduceSumSquare", v, axes=[1], keepdims=1)
    v = graph.op("Div", v, graph.op("Sqrt", graph.at_least(squares, 1e-12)))
    return graph.op("Reshape", v, graph.integers(0, placed.output_shape[0]))


def write_net_fv(graph: Graph, placed: PlacedLayer, x: str) -> str:
    coupling, width = cast(NetFV, placed.layer).coupling, placed.output_shape[0] // 2
    a = assign(graph, placed, x)
    if coupling is None:
        centres = graph.parameter("centres")
    else:
        centres = graph.op("Mul", graph.parameter("assignment.weight"), graph.constant(coupling))
    spread = graph.parameter("spread")
    sigma = graph.op("Add", graph.op("Mul", spread, spread), graph.constant(LEAST_SPREAD))
    total, ax, axx = total_of(graph, a), joined(graph, x, a), joined(graph, graph.op("Mul", x, x), a)
    first = residual(graph, ax, centres, total)
    crossed = graph.op("Mul", centres, graph.op("Add", ax, first))  # 2 c sum a x - c^2 sum a
    second = graph.op("Div", graph.op("Sub", axx, crossed), graph.op("Mul", sigma, sigma))
    second = as_a_whole(graph, graph.op("Sub", second, total), width)
    first = of_clusters(graph, graph.op("Div", first, sigma), width)
    return graph.op("Concat", first, second, axis=1)  # (videos, 2 * features * clusters)
