"""The ONNX file of a model, written from its spec: the same whatever framework trained it, and needing none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acz.backend.signature import OUTPUT, PLAIN, Form, Port, metadata, ports
from acz.exchange.artefacts.narrowing import narrow
from acz.exchange.artefacts.onnx.graph import Graph, Precision, element_type
from acz.exchange.artefacts.onnx.layers import OUTPUTS, WRITERS
from acz.exchange.artefacts.onnx.pooling import over_bags
from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError, SpecError
from acz.foundation.files.atomic import write_atomically
from acz.foundation.installation import install_command
from acz.foundation.version import __version__
from acz.model.parameters import check_parameters
from acz.model.spec import Spec

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 13, 7
"""The version of 2020, so that runtimes on devices, which are years behind, read the file; no operator here has changed its meaning since."""
MOST_BYTES = 2**31 - 2**24
"""The most bytes of weights: a protobuf message ends at 2 GiB, and the graph needs a little of it."""


def write_onnx(
    spec: Spec, parameters: Mapping[str, Array], path: Path, dtype: Precision = "float32", form: Form = PLAIN
) -> None:
    """Write a model in evaluation mode, whole or not at all.

    Inputs are `ports(spec, form.masks)`, the output is `output` (videos, classes); `videos` and each `<input>_frames` are axes of any size.
    Weights, arithmetic and the output are in `dtype`, inputs stay what the ports say. `form.weights` says in which type
    the large weights are stored. A model whose weights pass 2 GiB is
    refused rather than split in two files that must travel together.

    Raises MissingError without the library onnx, SpecError where parameters are not the spec's or too large for the
    format, OSError where the disk won't take the file.
    """
    model = build_model(spec, parameters, dtype, form)
    write_atomically(path, lambda temporary: temporary.write_bytes(model.SerializeToString(deterministic=True)))


def build_model(
    spec: Spec, parameters: Mapping[str, Array], dtype: Precision = "float32", form: Form = PLAIN
) -> onnx.ModelProto:
    """The model that `write_onnx` writes. Raises MissingError and SpecError as it does."""
    try:
        from onnx import helper
    except ImportError:
        raise MissingError(
            f"the library onnx, which writes the file, is not installed; {install_command('acz[export]')} brings it"
        ) from None
    check_parameters(spec, parameters)
    stored = narrow(spec, parameters, form.weights)
    narrowed = sum(value.values.size for value in stored.values())
    size = (spec.parameter_count - narrowed) * np.dtype(dtype).itemsize
    size += sum(value.values.nbytes for value in stored.values())
    if size > MOST_BYTES:
        raise SpecError(
            f"the weights take {size / 2**30:.1f} GiB, and an ONNX file holds at most 2; "
            f"export it as mindir, saved-model, paddle or pt2. Largest: {spec.largest_parameter}"
        )
    graph = Graph(parameters, dtype, stored)
    taken = ports(spec, form.masks)
    _write(graph, spec, {port.key: port for port in taken})
    inputs = []
    for port in taken:
        frames = f"{port.key.removesuffix('.mask')}_frames"
        axes = ["videos", *(frames if side is None else side for side in port.shape[1:])]
        inputs.append(helper.make_tensor_value_info(port.name, element_type(port.dtype), axes))
    output = helper.make_tensor_value_info(OUTPUT, element_type(dtype), ["videos", spec.width])
    known = [helper.make_tensor_value_info(key, element_type(dtype), shape) for key, shape in graph.shapes.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "acz", inputs, [output], list(graph.initializers.values()), value_info=known),
        producer_name="acz",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, metadata(spec, form))
    return model


def _write(graph: Graph, spec: Spec, by_key: Mapping[str, Port]) -> None:
    """Streams, trunk and output function, in the order of execution."""
    placed_layers = {placed.path: placed for placed in spec.layout}

    def through(prefix: str, layers: Iterable[str], x: str) -> str:
        for name in layers:
            graph.path = f"{prefix}.{name}"
            placed = placed_layers[graph.path]
            write = WRITERS[placed.layer.type]
            y = over_bags(graph, placed, x, write) if placed.bag else write(graph, placed, x)
            x = y if y == x else graph.rename(y, graph.path)
            if placed.bag:
                graph.shapes[x] = ["videos", *placed.output_shape]
        return x

    read = {name: _read(graph, by_key, name) for name in {stream.input: None for stream in spec.streams.values()}}
    vectors = []
    for name, stream in spec.streams.items():
        x, graph.mask = read[stream.input]
        vectors.append(through(name, stream.layers, x))
    graph.path, graph.mask = "trunk", None
    x = graph.op("Concat", *vectors, axis=1) if len(vectors) > 1 else vectors[0]
    logits = through("trunk", spec.trunk, x)
    graph.path = OUTPUT
    graph.rename(OUTPUTS[spec.output](graph, logits), OUTPUT)


def _read(graph: Graph, by_key: Mapping[str, Port], name: str) -> tuple[str, str | None]:
    """An input in the graph's precision, zero where frames are padded since what padding holds never counts; and its mask.

    Beside a column of the input the mask must have the same sides: an operator that broadcasts would take a mask of
    (1, 1), or of the frames alone.
    """
    graph.path = name
    x, mask = by_key[name].name, by_key.get(f"{name}.mask")
    if by_key[name].dtype != graph.precision:
        x = graph.cast(x)
    if mask is None:
        return x, None
    numbers = graph.number(mask.name) if mask.dtype == "bool" else graph.cast(mask.name)
    numbers = graph.op("Unsqueeze", numbers, graph.integers(2))  # (videos, frames, 1)
    beside = graph.op("Concat", graph.slice(x, 2, 0, 1), numbers, axis=2)
    valid = graph.op("Greater", graph.slice(beside, 2, 1, 2), graph.constant(0.0))
    return graph.op("Where", valid, x, graph.constant(0.0)), graph.op("Squeeze", valid, graph.integers(2))
