"""A spec as a paddle.nn.Layer, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.base import core

from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz_paddle.base import Call, log_softmax
from acz_paddle.devices import native_device
from acz_paddle.layers import LAYERS
from acz_paddle.pooling import over_bags


class Model(nn.Layer):
    """A model of the zoo. `state_dict()` has the spec's paths and layouts.

    Called with the inputs by name, (videos, frames, features) or (videos, *shape), and `<name>.mask`, bool
    (videos, frames), for padded videos; gives the output (videos, classes). In training mode dropout is
    PaddlePaddle's own.
    """

    def __init__(self, spec: Spec, place: core.Place, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.spec = spec
        self.place, self.dtype = place, dtype
        for placed in spec.layout:
            stream, name = placed.path.split(".")
            if stream not in dict(self.named_children()):
                self.add_sublayer(stream, nn.LayerDict())
            dict(self.named_children())[stream][name] = LAYERS[placed.layer.type](placed, dtype)

    def logits(self, inputs: Mapping[str, Tensor], call: Call | None = None) -> Tensor:
        """The trunk's last values, (videos, classes): what the losses take."""
        call = Call() if call is None else call
        vectors = []
        for name, stream in self.spec.streams.items():
            x = inputs[stream.input].astype(self.dtype)
            call.mask = inputs.get(f"{stream.input}.mask")
            if call.mask is not None:
                x = x.masked_fill(~call.mask.unsqueeze(2), 0.0)
            vectors.append(self._through(name, x, call))
        call.mask = None
        x = paddle.concat(vectors, 1) if len(vectors) > 1 else vectors[0]
        return self._through("trunk", x, call)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.finish(self.logits(inputs))

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits."""
        if self.spec.output == "softmax":
            return F.softmax(logits, -1)
        if self.spec.output == "log_softmax":
            return log_softmax(logits)
        return F.sigmoid(logits) if self.spec.output == "sigmoid" else logits

    def _through(self, name: str, x: Tensor, call: Call) -> Tensor:
        for layer in dict(self.named_children()).get(name, {}).values():
            x = over_bags(layer, x, call) if layer.bag else layer(x, call)
            call.recorded[layer.path] = x
        return x


def build(spec: Spec, device: str, dtype: str) -> Model:
    place = native_device(device)
    with paddle.base.dygraph.guard(place):
        model = Model(spec, place, dtype)
    model.eval()
    return model


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    state = model.state_dict()
    for path, value in parameters.items():
        state[path].set_value(value)


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: value.numpy() for path, value in model.state_dict().items()}


def to_device(model: Model, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """NumPy arrays as tensors on the model's device."""
    return {name: paddle.to_tensor(value, place=model.place) for name, value in arrays.items()}


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
