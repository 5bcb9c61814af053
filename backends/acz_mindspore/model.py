"""A spec as a mindspore.nn.Cell, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from acz.backend.inputs import CallInputs
from acz.foundation.arrays import Array
from acz.foundation.errors import InputError, MissingError
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz_mindspore.base import LOW, Call, Layer, Mixed, as_type, check_low, log_softmax, number, sigmoid, softmax
from acz_mindspore.devices import in_mode, use_device
from acz_mindspore.layers import LAYERS
from acz_mindspore.pooling import over_bags
from acz_mindspore.products import Rounded


def is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def is_shape(value: Any) -> bool:
    return isinstance(value, tuple)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of a tensor, or of a placeholder."""
    return cast(tuple[int, ...], value if isinstance(value, tuple) else value.shape)


@ops.constexpr
def keys_of(names: Sequence[str], shapes: Sequence[tuple[int, ...] | None], rule: CallInputs) -> tuple[str, ...]:
    """The core's keys of what a call gives, "" for nothing: runs in Python when a graph is compiled.

    Raises:
        InputError: as acz.backend.inputs says.
    """
    rule.gather(None, dict(zip(names, shapes, strict=True)))
    return tuple("" if shape is None else rule.keys[name] for name, shape in zip(names, shapes, strict=True))


class Layers(nn.CellDict):
    """The layers of a stream by name. A cell that replaces a layer gets its parameters' names from the layer's path."""

    def __init__(self, stream: str) -> None:
        super().__init__(auto_prefix=False)
        self._stream = stream

    def __setitem__(self, name: str, layer: nn.Cell) -> None:
        super().__setitem__(name, layer)
        if not isinstance(layer, Layer):
            layer.update_parameters_name(f"{self._stream}.{name}.")


class Model(Mixed):
    """A model of the zoo. `parameters_dict()` has the spec's paths and layouts.

    Called as acz.backend.inputs says, with (videos, frames, features) or (videos, *shape), and masks (videos, frames) of any
    type for padded videos; gives the output (videos, classes), or the logits where `returns_logits` is True. In training mode
    dropout is MindSpore's own.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.__name__.startswith(f"{Model.__name__}Opt"):  # a class that MindSpore has written
            raise MissingError(
                "MindSpore's amp level O1 and its lists of operations rewrite the source of `construct`, which does not name "
                "this module's layers; take level O2 or O3"
            )
        return super().__new__(cls, *args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "amp_strategy":
            raise MissingError(
                "MindSpore's amp level auto casts every product, also those whose gradients half precision does not hold; "
                "take level O2 or O3"
            )
        super().__setattr__(name, value)

    def __init__(self, spec: Spec, dtype: Any) -> None:
        super().__init__(auto_prefix=False)
        self.spec = spec
        self.dtype, self.output = dtype, spec.output
        self._returns_logits = False
        self._inputs, self._shapes = CallInputs(spec, is_tensor, shape_of), CallInputs(spec, is_shape, shape_of)
        self._only = next(iter(spec.inputs)) if len(spec.inputs) == 1 else ""
        self._sources = [(name, stream.input) for name, stream in spec.streams.items()]
        for name in (*spec.streams, "trunk"):
            self.insert_child_to_cell(name, Layers(name))
        for placed in spec.layout:
            stream, name = placed.path.split(".")
            getattr(self, stream)[name] = LAYERS[placed.layer.type](placed, dtype)

    @property
    def returns_logits(self) -> bool:
        """Let a call give the logits. A graph of an outer cell that is compiled already keeps what it has."""
        return self._returns_logits

    @returns_logits.setter
    def returns_logits(self, value: bool) -> None:
        self._returns_logits = bool(value)
        self.compile_cache.clear()

    def add_flags(self, **flags: Any) -> nn.Cell:
        if self.dtype == ms.float64 and LOW.keys() & flags.keys():
            raise MissingError("mixed precision is for a module in float32; build it with precision='float32'")
        return super().add_flags(**flags)

    def __call__(self, *given: Any, **named: Any) -> Any:
        if len(given) > 1:
            raise InputError(f"one dictionary comes by position, not {len(given)} values; {self._inputs.how_to_call()}")
        self._inputs.gather(given[0] if given else None, named)
        return super().__call__(*given, **named)

    def construct(self, inputs: Any = None, **named: Any) -> Tensor:
        logits = self.logits(self._gathered(inputs, named))
        return logits if self.returns_logits else self.finish(logits)

    def _gathered(self, inputs: Any, named: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """The inputs of a call by the core's keys. Graphs are compiled of it, so that an outer cell calls in the same ways."""
        given = named
        if isinstance(inputs, Tensor):
            given = {self._only: inputs}
        elif inputs is not None:
            given = inputs
        names: tuple[str, ...] = ()
        shapes: tuple[Any, ...] = ()
        for name in given.keys():  # noqa: SIM118  MindSpore's graph mode iterates over no dictionary
            names += (name,)
            shapes += (None if given[name] is None else given[name].shape,)
        keys, arrays = keys_of(names, shapes, self._shapes), {}
        for i in range(len(names)):
            if keys[i] != "":
                arrays[keys[i]] = given[names[i]]
        return arrays

    def logits(
        self, inputs: Mapping[str, Tensor], dropout: Mapping[str, Tensor] | None = None, shared: bool = False
    ) -> Tensor:
        """The trunk's last values, (videos, classes): what the losses take. `inputs` has the core's keys, `<name>.mask` for masks."""
        return self.logits_and_records(inputs, dropout, shared)[0]

    def logits_and_records(
        self, inputs: Mapping[str, Tensor], dropout: Mapping[str, Tensor] | None = None, shared: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The logits, and the recordable in the spec's order."""
        vectors, recorded = [], ()
        for name, source in self._sources:
            x = as_type(inputs[source], self.dtype)
            mask = inputs.get(f"{source}.mask")
            if mask is not None:
                mask = as_type(mask, ms.bool_)
                x = ops.masked_fill(x, ops.logical_not(mask).expand_dims(2), number(0.0, x))  # 0.0 rounds x to float32
            x, found = self._through(name, x, (mask, dropout, shared))
            vectors.append(x)
            recorded += found
        x = ops.cat(vectors, 1) if len(vectors) > 1 else vectors[0]
        x, found = self._through("trunk", x, (None, dropout, shared))
        return x, recorded + found

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits."""
        if self.output == "softmax":
            return softmax(logits)
        if self.output == "log_softmax":
            return log_softmax(logits)
        return sigmoid(logits) if self.output == "sigmoid" else logits

    def to(self, *args: Any, **kwargs: Any) -> nn.Cell:
        """Cast the parameters. In half precision running statistics stay in float32, and so does what is no product."""
        trained, fixed = [], {}
        for p in self.get_parameters():
            if p.name in self.spec.parameters and p.name not in self.spec.trained:
                fixed[p.name] = p.value()
            else:
                trained.append(p)
        super().to(*args, **kwargs)
        dtypes = {p.dtype for p in trained}
        for dtype in dtypes:
            check_low(dtype)
        if len(dtypes) == 1 and dtypes <= {ms.float32, ms.float64}:
            self.dtype = dtypes.pop()
            return self
        for name, value in fixed.items():
            self.parameters_dict()[name].data = value
        return self

    def _through(self, name: str, x: Tensor, call: Call) -> tuple[Tensor, tuple[Tensor, ...]]:
        recorded: tuple[Tensor, ...] = ()
        for layer in getattr(self, name).values():
            if not isinstance(layer, Layer):  # a cell of the user's
                found = (as_type(layer(x), self.dtype),)
            elif layer.bag:
                found = over_bags(layer, x, call)
            else:
                found = layer(x, call)
            found = found if isinstance(found, tuple) else (found,)
            recorded += found
            x = found[-1]
        return x, recorded


def build(spec: Spec, device: str, dtype: str) -> Model:
    use_device(device)
    precision = Precision(dtype)
    model = Model(spec, getattr(ms, precision.storage.name))
    for _, cell in model.cells_and_names():
        if isinstance(cell, Layer) and precision.is_low:
            cell.low = Rounded(precision)
    return model.set_train(False)


def low_of(model: Model) -> Precision | None:
    """The precision of a model's products, where it is lower than its parameters'."""
    multiplied = (cell.low for _, cell in model.cells_and_names() if isinstance(cell, Layer))
    return next((rounded.precision for rounded in multiplied if rounded is not None), None)


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    state = model.parameters_dict()
    for path, value in parameters.items():
        state[path].set_data(Tensor(np.array(value)))


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: value.asnumpy().copy() for path, value in model.parameters_dict().items()}


def to_device(model: Model, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """NumPy arrays as tensors; MindSpore has one device a process."""
    return {name: Tensor(np.ascontiguousarray(value)) for name, value in arrays.items()}


def forward(
    model: Model,
    inputs: Mapping[str, Array],
    training: bool = False,
    dropout: Mapping[str, Array] | None = None,
    record: Sequence[str] = (),
) -> dict[str, Array]:
    model.set_train(training)
    with in_mode(ms.PYNATIVE_MODE):
        logits, values = model.logits_and_records(to_device(model, inputs), to_device(model, dropout or {}))
        recorded = dict(zip(model.spec.recordable, values, strict=True))
        found = {"output": model.finish(logits), "logits": logits} | {path: recorded[path] for path in record}
    model.set_train(False)
    return {name: value.asnumpy() for name, value in found.items()}


def call_in_training(model: Model, inputs: Mapping[str, Array]) -> Array:
    """The output of the module in training mode, with dropout that the framework draws."""
    model.set_train(True)
    with in_mode(ms.PYNATIVE_MODE):
        output = model(to_device(model, inputs))
    model.set_train(False)
    return output.asnumpy()
