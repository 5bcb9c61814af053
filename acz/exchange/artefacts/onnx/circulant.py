"""Circulant products in operators of ONNX: the explicit matrix, whatever the spec's `product` is, for runtimes that have no transform.

The file holds the vectors alone; the matrix depends on nothing else, so a runtime that folds constants makes it once, when the
file is loaded.
"""

from __future__ import annotations

import math
from typing import cast

from acz.exchange.artefacts.onnx.functions import function
from acz.exchange.artefacts.onnx.graph import Graph
from acz.foundation.errors import SpecError
from acz.model.layers.circulant import CirculantDense, CirculantProduct
from acz.model.spec import PlacedLayer


def product(graph: Graph, x: str, settings: CirculantProduct, features: int, units: int, prefix: str = "") -> str:
    """x (..., features) to (..., units). Raises SpecError where the matrix is too large for a file."""
    try:
        settings.algorithm(features, units, fft_cost=None)
    except ValueError as error:
        raise SpecError(f"{graph.path}: {error}: an ONNX file has none") from None
    return graph.op(
        "MatMul", x, graph.op("Transpose", _explicit(graph, settings, features, units, prefix), perm=[1, 0])
    )


def write_circulant_dense(graph: Graph, placed: PlacedLayer, x: str) -> str:
    layer = cast(CirculantDense, placed.layer)
    y = product(graph, x, layer, placed.input_shape[-1], layer.units)
    if layer.bias:
        y = graph.op("Add", y, graph.parameter("bias"))
    return function(graph, layer.activation, y) if layer.activation else y


def _explicit(graph: Graph, settings: CirculantProduct, n: int, units: int, prefix: str) -> str:
    """The matrix (units, features) of the whole product: y = matrix x."""
    whole = None
    for factor in reversed(range(settings.factors)):
        rows = n if whole is not None else min(units, n)
        matrix = _circulant(graph, _vectors(graph, f"{prefix}weight", factor), math.ceil(units / n), n, rows)
        if settings.diagonal != "none":
            d = _vectors(graph, f"{prefix}diagonal", factor)  # (1, blocks, features)
            if settings.diagonal == "learned":
                d = graph.op("Reshape", d, graph.integers(-1, 1, n))
            else:
                last, others = (graph.slice(d, 2, first, end) for first, end in ((n - 1, n), (0, n - 1)))
                d = graph.slice(graph.op("Concat", last, others, axis=2), 2, 0, rows)
                d = graph.op("Reshape", d, graph.integers(-1, rows, 1))
            matrix = graph.op("Mul", matrix, d)
        whole = matrix if whole is None else graph.op("MatMul", whole, matrix)
    assert whole is not None  # a product has one factor at least
    return graph.slice(graph.op("Reshape", whole, graph.integers(-1, n)), 0, 0, units)


def _vectors(graph: Graph, name: str, factor: int) -> str:
    """(1, blocks, features) of one factor."""
    return graph.op("Gather", graph.parameter(name), graph.integers(factor), axis=0)


def _circulant(graph: Graph, w: str, blocks: int, n: int, rows: int) -> str:
    """[b, i, j] = w[b, (j - i) mod n], (blocks, rows, n): copies of w, one after the other, cut into rows of 2n - 1."""
    length = 2 * n - 1
    copies = graph.op("Tile", w, graph.integers(1, 1, math.ceil(rows * length / n)))
    cut = graph.op("Reshape", graph.slice(copies, 2, 0, rows * length), graph.integers(blocks, rows, length))
    return graph.slice(cut, 2, 0, n)
