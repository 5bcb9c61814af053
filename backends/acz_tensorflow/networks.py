"""Networks of others that make features of frames: frozen graphs of TensorFlow 1 (.pb)."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from acz.backend.protocol import OpenedNetwork
from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError


class Network:
    """An opened network."""

    def __init__(self, graph: tf.Graph, source: tf.Tensor, wanted: tf.Tensor) -> None:
        self.shape: tuple[int | None, ...] = tuple(source.shape.as_list()) if source.shape.rank else ()
        self.takes_bytes, self.dtype = source.dtype == tf.uint8, source.dtype
        with graph.as_default():
            self.session = tf.compat.v1.Session(graph=graph)
        self.source, self.wanted = source, wanted

    def run(self, rows: Array) -> Array:
        given = rows.astype(self.dtype.as_numpy_dtype)
        answer: Array = self.session.run(self.wanted, {self.source: given})
        return answer


def open_network(path: Path, input: str | None, output: str | None) -> OpenedNetwork:
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    read = {name.lstrip("^").partition(":")[0] for node in definition.node for name in node.input}
    sources = [node.name for node in definition.node if node.op == "Placeholder"]
    ends = [node.name for node in definition.node if node.name not in read]
    return Network(graph, value(graph, input, sources, "input"), value(graph, output, ends, "output"))


def value(graph: tf.Graph, name: str | None, known: list[str], what: str) -> tf.Tensor:
    """A value of a graph by its name, such as `Mul:0` or `Mul`; without a name the only one that is known."""
    if name is None and len(known) != 1:
        raise SpecError(f"name its {what}: it has {', '.join(known[:8]) or 'no placeholder'}")
    word = name or known[0]
    try:
        return graph.get_tensor_by_name(word if ":" in word else f"{word}:0")
    except (KeyError, ValueError):
        raise SpecError(f"it has no {what} '{word}'; it has {', '.join(known[:8])}") from None
