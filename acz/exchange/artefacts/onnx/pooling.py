"""Pooling over frames, and bags of frames, in operators of ONNX. Formulas and settings are those of acz.model.layers.pooling and acz.model.layers.bags."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from acz.exchange.artefacts.onnx.functions import batch_norm, l2_normalize, linear, sigmoid
from acz.exchange.artefacts.onnx.graph import Graph
from acz.model.layers.attention import LOWEST
from acz.model.layers.pooling import FramePool, GatedBag
from acz.model.spec import PlacedLayer


def pool(graph: Graph, kind: str, x: str, mask: str | None, shape: tuple[int, ...]) -> str:
    """One number for each feature, of the valid frames of each video; `shape` is that of one video, (frames, features)."""
    if kind == "l2_norm":
        s = pool(graph, "sum", graph.op("Mul", x, x), mask, shape)
        return graph.op("Div", s, graph.op("Sqrt", graph.at_least(s, 1e-12)))
    if kind == "variance":
        mean = graph.op("Unsqueeze", pool(graph, "mean", x, mask, shape), graph.integers(1))
        centred = graph.op("Sub", x, mean)
        return pool(graph, "mean", graph.op("Mul", centred, centred), mask, shape)
    if mask is None:
        if kind == "sum":
            return graph.op("ReduceSum", x, graph.integers(1), keepdims=0)
        return graph.op("ReduceMax" if kind == "max" else "ReduceMean", x, axes=[1], keepdims=0)
    valid = graph.number(mask)  # (videos, frames)
    if kind == "max":
        among = graph.op("Where", graph.op("Unsqueeze", mask, graph.integers(2)), x, graph.constant(LOWEST))
        some = graph.op("ReduceMax", valid, axes=[1], keepdims=1)  # (videos, 1)
        return graph.op("Mul", graph.op("ReduceMax", among, axes=[1], keepdims=0), some)
    total = graph.op("MatMul", graph.op("Unsqueeze", valid, graph.integers(1)), x)  # (videos, 1, features)
    total = graph.op("Reshape", total, graph.integers(0, shape[1]))
    if kind == "sum":
        return total
    count = graph.op("ReduceSum", valid, graph.integers(1), keepdims=1)
    return graph.op("Div", total, graph.at_least(count, 1.0))


def write_frame_pool(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(FramePool, placed.layer)
    found = [pool(graph, kind, x, graph.mask, placed.input_shape) for kind in layer.pooling]
    if layer.normalize:
        found = [l2_normalize(graph, y) for y in found]
    return graph.op("Concat", *found, axis=1) if len(found) > 1 else found[0]


def write_gated_bag(graph: Graph, placed: PlacedLayer, x: str) -> str:
    largest = l2_normalize(graph, pool(graph, "max", x, graph.mask, placed.input_shape))  # (videos, clusters)
    g = linear(graph, linear(graph, largest, "squeeze.weight", None, 1), "excite.weight", None, 1)
    g = sigmoid(graph, batch_norm(graph, g, cast(GatedBag, placed.layer).norm.epsilon, "norm."))
    return l2_normalize(graph, graph.op("Mul", g, pool(graph, "sum", x, graph.mask, placed.input_shape)))


def over_bags(graph: Graph, placed: PlacedLayer, x: str, write: Callable[[Graph, PlacedLayer, str], str]) -> str:
    """The layer's vectors of each video's bags, averaged over the bags that have a valid frame."""
    bag, mask = placed.bag, graph.mask
    last = bag - 1
    sizes = graph.op("Shape", x)
    valid = graph.number(mask) if mask else graph.ones(graph.slice(sizes, 0, 0, 2))
    videos, frames = (graph.op("Gather", sizes, graph.integers(n)) for n in (0, 1))
    bags = graph.op("Div", graph.op("Add", frames, graph.integers(last)), graph.integers(bag))
    end = graph.op("Mul", bags, graph.integers(bag))
    x = graph.op("Pad", x, graph.integers(0, 0, 0, 0, last, 0))
    x = graph.op("Slice", x, graph.integers(0), end, graph.integers(1))
    valid = graph.op("Pad", valid, graph.integers(0, 0, 0, last))
    valid = graph.op("Slice", valid, graph.integers(0), end, graph.integers(1))
    valid = graph.op("Reshape", valid, graph.integers(-1, bag))
    graph.mask = graph.op("Greater", valid, graph.constant(0.0))  # (videos * bags, frames of a bag)
    y = write(graph, placed, graph.op("Reshape", x, graph.integers(-1, bag, placed.input_shape[1])))
    graph.mask = mask
    held = graph.op("ReduceMax", valid, axes=[1], keepdims=0)
    held = graph.op("Reshape", held, graph.op("Concat", videos, graph.integers(-1), axis=0))  # (videos, bags)
    y = graph.op("Reshape", y, graph.op("Concat", videos, graph.integers(-1, placed.output_shape[0]), axis=0))
    # not even the rank of these follows from the operators, nor that of any value behind them
    sides: list[int | str] = ["videos", f"{graph.path}_bags"]
    graph.shapes |= {held: sides, y: [*sides, placed.output_shape[0]]}
    held = graph.op("Greater", held, graph.constant(0.0))
    return pool(graph, "mean", y, held, (bag, placed.output_shape[0]))
