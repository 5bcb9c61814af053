"""Parts of the layers in ONNX: functions of several operators. Shapes start with the axis of videos."""

from __future__ import annotations

from acz.exchange.artefacts.onnx.graph import Graph


def linear(graph: Graph, x: str, weight: str, bias: str | None, axes: int) -> str:
    """x W + b over the last axis of x, which has `axes` axes beside the videos'."""
    if bias is None:
        return graph.op("MatMul", x, graph.parameter(weight))
    if axes == 1:
        return graph.op("Gemm", x, graph.parameter(weight), graph.parameter(bias))
    return graph.op("Add", graph.op("MatMul", x, graph.parameter(weight)), graph.parameter(bias))


def function(graph: Graph, kind: str, x: str) -> str:
    """relu, relu6, tanh or sigmoid of each element."""
    if kind == "relu6":
        return graph.op("Clip", x, graph.constant(0.0), graph.constant(6.0))
    if kind == "sigmoid":
        return sigmoid(graph, x)
    return graph.op({"relu": "Relu", "tanh": "Tanh"}[kind], x)


def sigmoid(graph: Graph, x: str) -> str:
    """1 / (1 + exp(-x)), which is right at both ends: where exp overflows, the reciprocal is zero.

    Not the operator Sigmoid: ONNX Runtime's, 1.7e-7 off at most, moves in steps of 3e-8 near zero and is zero from logits of
    -15.8 down, so that the scores of rare classes are no longer in order.
    """
    one = graph.constant(1.0)
    return graph.op("Reciprocal", graph.op("Add", one, graph.op("Exp", graph.op("Neg", x))))


def softmax(graph: Graph, x: str) -> str:
    """Over the last axis; the operator subtracts the largest x itself."""
    return graph.op("Softmax", x, axis=-1)


def log_softmax(graph: Graph, x: str) -> str:
    """Over the last axis, in elementary operators: ONNX's own evaluator takes the logarithm of the softmax, which is
    minus infinity where that underflows."""
    x = graph.op("Sub", x, graph.op("ReduceMax", x, axes=[-1], keepdims=1))
    total = graph.op("ReduceSum", graph.op("Exp", x), graph.integers(-1), keepdims=1)
    return graph.op("Sub", x, graph.op("Log", total))


def l2_normalize(graph: Graph, x: str, epsilon: float = 1e-12) -> str:
    """x / sqrt(max(sum x^2, epsilon)) over the last axis."""
    squares = graph.op("ReduceSumSquare", x, axes=[-1], keepdims=1)
    return graph.op("Div", x, graph.op("Sqrt", graph.at_least(squares, epsilon)))


def batch_norm(graph: Graph, x: str, epsilon: float, prefix: str = "", of_image: bool = False) -> str:
    """By the running statistics: over the last axis, or over an image's channels.

    Not the operator BatchNormalization: it wants the channels second, and runtimes subtract the mean after scaling, which
    loses digits where the mean is large. What depends on parameters alone is folded when the file is loaded.
    """

    def parameter(name: str) -> str:
        value = graph.parameter(prefix + name)
        return graph.op("Reshape", value, graph.integers(-1, 1, 1)) if of_image else value

    deviation = graph.op("Sqrt", graph.op("Add", parameter("running_variance"), graph.constant(epsilon)))
    scale = graph.op("Div", parameter("weight"), deviation)
    centred = graph.op("Sub", x, parameter("running_mean"))
    return graph.op("Add", graph.op("Mul", centred, scale), parameter("bias"))
