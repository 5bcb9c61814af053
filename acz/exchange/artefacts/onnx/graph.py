"""A small emitter of ONNX graphs: operators by name, constants, and a model's parameters under their paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from acz.exchange.artefacts.narrowing import Stored, restored
from acz.foundation.arrays import Array

if TYPE_CHECKING:
    import onnx

Precision = Literal["float32", "float64"]


def element_type(dtype: str) -> int:
    """ONNX's number of a NumPy dtype."""
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


class Graph:
    """Nodes and initializers in the order of execution. A value is its name.

    Names say where a value belongs: a parameter has its path (`features.attention.score.weight`), a layer's output the layer's
    path, what lies between the path and the operator (`features.attention/MatMul`). A spec's names have no slash, so none
    of these can be another.
    """

    def __init__(
        self, parameters: Mapping[str, Array], precision: Precision, stored: Mapping[str, Stored] | None = None
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.path = ""
        """The layer that is written now."""
        self.mask: str | None = None
        """Valid frames of the stream that is written now, bool (videos, frames); None where all count."""
        self._stored = stored or {}
        self._parameters = restored(parameters, self._stored)
        self._read: dict[str, str] = {}
        self.precision = precision
        self.shapes: dict[str, list[int | str]] = {}
        """Shapes by value, where they don't follow from the operators."""
        self._used: dict[str, int] = {}
        self._floors = 0

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Append a node of the default domain with one output, and give the output.

        `name` is the output's whole name; without it the output is called after the layer and the operator.
        """
        from onnx import helper

        label = f"{self.path}/{kind}"
        self._used[label] = self._used.get(label, 0) + 1
        if self._used[label] > 1:
            label = f"{label}_{self._used[label]}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name or label], name=label, **attributes))
        return name or label

    def parameter(self, name: str) -> str:
        """The layer's parameter of this local name."""
        path = f"{self.path}.{name}"
        if path in self._stored:
            return self._widened(path, self._stored[path])
        return self._initializer(path, np.asarray(self._parameters[path], dtype=self.precision))

    def _widened(self, path: str, stored: Stored) -> str:
        """A parameter that the file stores in fewer bits, as float32. The runtime does this once, when it loads."""
        if path not in self._read:
            values = self._initializer(f"{path}/{stored.values.dtype}", stored.values)
            if stored.codebook is None:
                self._read[path] = self.op("Cast", values, name=path, to=element_type("float32"))
            else:
                codes = self.op("Cast", values, to=element_type("int32"))
                codebook = self._initializer(f"{path}/codebook", stored.codebook)
                self._read[path] = self.op("Gather", codebook, codes, name=path, axis=0)
        return self._read[path]

    def changed_parameter(self, name: str, change: str, value: Array) -> str:
        """A value that follows from the layer's parameter of this local name, under a name that says the change."""
        return self._initializer(f"{self.path}.{name}/{change}", np.asarray(value, dtype=self.precision))

    def value_of(self, name: str) -> Array:
        """The numbers of the layer's parameter of this local name."""
        return np.asarray(self._parameters[f"{self.path}.{name}"])

    def constant(self, value: float) -> str:
        """A number in the graph's precision."""
        return self._initializer(f"constant/{value!r}", np.asarray(value, dtype=self.precision))

    def at_least(self, x: str, least: float) -> str:
        """The larger of x and a number.

        The number's initializer is this node's alone: converters to float16 leave Max in float32, and cast what it
        takes under a name made of the value's. A value that two of these nodes take would be cast twice under one name.
        """
        self._floors += 1
        name = f"constant/{least!r}/{self._floors}"
        return self.op("Max", x, self._initializer(name, np.asarray(least, dtype=self.precision)))

    def slice(self, x: str, axis: int, first: int, end: int) -> str:
        """A part of x along an axis."""
        return self.op("Slice", x, self.integers(first), self.integers(end), self.integers(axis))

    def ones(self, shape: str) -> str:
        """An array of ones, of a shape that is a value."""
        from onnx import numpy_helper

        return self.op("ConstantOfShape", shape, value=numpy_helper.from_array(np.ones(1, self.precision)))

    def integers(self, *values: int) -> str:
        """A vector of int64: axes, or a shape."""
        return self._initializer(f"integers/{'_'.join(map(str, values))}", np.asarray(values, dtype=np.int64))

    def cast(self, x: str) -> str:
        """An input's whole numbers in the graph's precision."""
        return self.op("Cast", x, to=element_type(self.precision))

    def number(self, mask: str) -> str:
        """1 where a mask is true, else 0. No Cast: onnxconverter-common's converter to float16 leaves its type."""
        return self.op("Where", mask, self.constant(1.0), self.constant(0.0))

    def rename(self, value: str, name: str) -> str:
        """Give the last node's output another name. A value that is not the last node's keeps its own."""
        if not self.nodes or self.nodes[-1].output[0] != value:
            return value
        self.nodes[-1].output[0] = name
        return name

    def _initializer(self, name: str, value: Array) -> str:
        from onnx import numpy_helper

        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name
