"""A spec as a paddle.nn.Layer, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.base import core

from acz.backend.inputs import MASK, CallInputs
from acz.foundation.arrays import Array
from acz.foundation.errors import InputError
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz_paddle.base import WIDE, Call, Layer, log_softmax, wide
from acz_paddle.devices import device_name, native_device
from acz_paddle.layers import LAYERS
from acz_paddle.pooling import over_bags


def is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, paddle.pir.Value))


def shape_of(value: Any) -> Sequence[Any]:
    shape: Sequence[Any] = value.shape
    return shape


class Model(nn.Layer):
    """A model of the zoo. `state_dict()` has the spec's paths and layouts.

    Called as acz.backend.inputs says, it gives the output (videos, classes), or the logits where `returns_logits` is
    True. In training mode dropout is PaddlePaddle's own.
    """

    def __init__(self, spec: Spec, device: str, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.spec, self.returns_logits = spec, False
        self._inputs = CallInputs(spec, is_array, shape_of)
        self._set(device, dtype)
        for placed in spec.layout:
            stream, name = placed.path.split(".")
            if stream not in dict(self.named_children()):
                self.add_sublayer(stream, nn.LayerDict())
            dict(self.named_children())[stream][name] = LAYERS[placed.layer.type](placed, dtype)

    def _set(self, device: str, dtype: Any) -> None:
        """Note where the parameters are, and their dtype but for those that keep theirs."""
        self.device, self.dtype = device, paddle.empty([0], dtype).dtype
        # PaddlePaddle has no products of half precision on a CPU: there the values between the layers are float32
        self._values = WIDE.get(self.dtype, self.dtype) if device == "CPU" else self.dtype

    def _apply(self, func: Any, device: Any, dtype: Any, blocking: Any, include_sublayers: bool = True) -> None:
        """The one way of all casts and moves in PaddlePaddle, mixed precision's too."""
        super()._apply(func, device, dtype, blocking, include_sublayers)
        self._set(self.device if device is None else device_name(device), self.dtype if dtype is None else dtype)

    def astype(self, dtype: Any = None) -> Model:
        """Cast all parameters; PaddlePaddle's own leaves them unchanged."""
        self.to(dtype=dtype)
        return self

    @property
    def place(self) -> core.Place:
        return native_device(self.device)

    def logits(self, inputs: Mapping[str, Tensor], call: Call | None = None) -> Tensor:
        """The trunk's last values, (videos, classes): what the losses take."""
        call = Call() if call is None else call
        vectors = []
        for name, stream in self.spec.streams.items():
            x = inputs[stream.input].astype(self._values)
            call.mask = None
            if f"{stream.input}{MASK}" in inputs:
                call.mask = inputs[f"{stream.input}{MASK}"].astype(paddle.bool)
                x = x.masked_fill(~call.mask.unsqueeze(2), 0.0)
            vectors.append(self._through(name, x, call))
        call.mask = None
        x = paddle.concat(vectors, 1) if len(vectors) > 1 else vectors[0]
        return self._through("trunk", x, call)

    def forward(self, inputs: Any = None, *others: Any, **named: Any) -> Tensor:
        logits = self.logits(self._gather(inputs, others, named))
        return logits if self.returns_logits else self.finish(logits)

    @paddle.jit.not_to_static
    def _gather(self, given: Any, others: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays of a call by the core's keys. PaddlePaddle runs this as it is while it traces a model."""
        if others:
            raise InputError(f"inputs come by name where there are several; {self._inputs.how_to_call()}")
        if named and "forward" in vars(self) and not paddle.in_dynamic_mode():
            raise InputError("to_static(..., full_graph=True) takes no inputs by keyword; call it with a dictionary")
        return self._inputs.gather(given, named)

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits, in float32 at least."""
        logits = wide(logits)
        if self.spec.output == "softmax":
            return F.softmax(logits, -1)
        if self.spec.output == "log_softmax":
            return log_softmax(logits)
        return F.sigmoid(logits) if self.spec.output == "sigmoid" else logits

    def _through(self, name: str, x: Tensor, call: Call) -> Tensor:
        for key, layer in dict(self.named_children()).get(name, {}).items():
            if not isinstance(layer, Layer):
                x = layer(x)  # a user's own
            elif layer.bag:
                x = over_bags(layer, x, call)
            else:
                x = layer(x, call)
            call.recorded[f"{name}.{key}"] = x
        return x


def build(spec: Spec, device: str, dtype: str) -> Model:
    precision = Precision(dtype)
    with paddle.device.device_guard(native_device(device)):
        model = Model(spec, device, precision.storage.name)
    for layer in model.sublayers():
        if isinstance(layer, Layer) and precision.is_low:
            layer.low = precision
    return model


def low_of(model: Model) -> Precision | None:
    """The precision of a model's products, where it is lower than its parameters'."""
    return next((layer.low for layer in model.sublayers() if isinstance(layer, Layer)), None)


@contextmanager
def named_by_path(model: Model) -> Iterator[None]:
    """Name the parameters in files as the spec does, and not as this process numbers them."""
    parameters = model.state_dict()
    names = {path: value.name for path, value in parameters.items()}
    try:
        for path, value in parameters.items():
            value.name = path
        yield
    finally:
        for path, value in parameters.items():
            value.name = names[path]


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    state = model.state_dict()
    for path, value in parameters.items():
        state[path].set_value(value)


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: value.numpy() for path, value in model.state_dict().items()}


def to_device(model: Model, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """NumPy arrays as tensors on the model's device."""
    place = model.place
    return {name: paddle.to_tensor(value, place=place) for name, value in arrays.items()}


def forward(
    model: Model,
    inputs: Mapping[str, Array],
    training: bool = False,
    dropout: Mapping[str, Array] | None = None,
    record: Sequence[str] = (),
) -> dict[str, Array]:
    model.train() if training else model.eval()
    call = Call(dropout=to_device(model, dropout or {}))
    with paddle.no_grad():
        logits = model.logits(to_device(model, inputs), call)
        found = {"output": model.finish(logits), "logits": logits} | {path: call.recorded[path] for path in record}
    model.eval()
    return {name: value.numpy() for name, value in found.items()}


def call_in_training(model: Model, inputs: Mapping[str, Array]) -> Array:
    """The output of the module in training mode, with dropout that the framework draws."""
    model.train()
    with paddle.no_grad():
        output = model(to_device(model, inputs))
    model.eval()
    return output.numpy()
