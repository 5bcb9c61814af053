"""A spec as a mindspore.nn.Cell, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz_mindspore.base import Call, log_softmax, number, sigmoid, softmax
from acz_mindspore.devices import use_device
from acz_mindspore.layers import LAYERS
from acz_mindspore.pooling import over_bags


class Model(nn.Cell):
    """A model of the zoo. `parameters_dict()` has the spec's paths and layouts.

    Called with the inputs by name, (videos, frames, features) or (videos, *shape), and `<name>.mask`, bool (videos,
    frames), for padded videos; gives the output (videos, classes). In training mode dropout is MindSpore's own.
    """

    def __init__(self, spec: Spec, dtype: Any) -> None:
        super().__init__(auto_prefix=False)
        self.spec = spec
        self.dtype, self.output = dtype, spec.output
        self.sources = [(name, stream.input) for name, stream in spec.streams.items()]
        for name in (*spec.streams, "trunk"):
            self.insert_child_to_cell(name, nn.CellDict(auto_prefix=False))
        for placed in spec.layout:
            stream, name = placed.path.split(".")
            getattr(self, stream)[name] = LAYERS[placed.layer.type](placed, dtype)

    def logits(
        self, inputs: Mapping[str, Tensor], dropout: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The trunk's last values, (videos, classes): what the losses take; and the recordable, in the spec's order."""
        vectors, recorded = [], ()
        for name, source in self.sources:
            x = inputs[source].astype(self.dtype)
            mask = inputs.get(f"{source}.mask")
            if mask is not None:
                x = ops.masked_fill(x, ops.logical_not(mask).expand_dims(2), number(0.0, x))  # 0.0 rounds x to float32
            x, found = self._through(name, x, (mask, dropout))
            vectors.append(x)
            recorded += found
        x = ops.cat(vectors, 1) if len(vectors) > 1 else vectors[0]
        x, found = self._through("trunk", x, (None, dropout))
        return x, recorded + found

    def construct(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.finish(self.logits(inputs)[0])

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits."""
        if self.output == "softmax":
            return softmax(logits)
        if self.output == "log_softmax":
            return log_softmax(logits)
        return sigmoid(logits) if self.output == "sigmoid" else logits

    def _through(self, name: str, x: Tensor, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
        recorded = ()
        for layer in getattr(self, name).values():
            found = over_bags(layer, x, call) if layer.bag else layer(x, call)
            found = found if isinstance(found, tuple) else (found,)
            recorded += found
            x = found[-1]
        return x, recorded


def build(spec: Spec, device: str, dtype: str) -> Model:
    use_device(device)
    return Model(spec, getattr(ms, dtype)).set_train(False)


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    state = model.parameters_dict()
    for path, value in parameters.items():
        state[path].set_data(Tensor(np.array(value)))


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: value.asnumpy().copy() for path, value in model.parameters_dict().items()}


def to_device(model: Model, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """NumPy arrays as tensors; MindSpore has one device a process."""
    return {name: Tensor(np.ascontiguousarray(value)) for name, value in arrays.items()}


@contextmanager
def in_mode(mode: int) -> Iterator[None]:
    """Run in graph or eager mode, whichever the process is in."""
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        yield
    finally:
        ms.set_context(mode=before)


def forward(
    model: Model,
    inputs: Mapping[str, Array],
    training: bool = False,
    dropout: Mapping[str, Array] | None = None,
    record: Sequence[str] = (),
) -> dict[str, Array]:
    model.set_train(training)
    with in_mode(ms.PYNATIVE_MODE):
        logits, values = model.logits(to_device(model, inputs), to_device(model, dropout or {}))
        recorded = dict(zip(model.spec.recordable, values, strict=True))
        found = {"output": model.finish(logits), "logits": logits} | {path: recorded[path] for path in record}
    model.set_train(False)
    return {name: value.asnumpy() for name, value in found.items()}
