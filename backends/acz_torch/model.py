"""A spec as a torch.nn.Module, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from acz.backend.inputs import CallInputs
from acz.foundation.arrays import Array
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz_torch.base import Call, Layer, Norm, Parameters
from acz_torch.devices import native_device
from acz_torch.layers import LAYERS
from acz_torch.pooling import over_bags
from acz_torch.products import set_matrix_modes


def shape_of(value: Tensor) -> torch.Size:
    return value.shape


class Model(nn.Module):
    """A model of the zoo. `state_dict()` has the spec's paths and layouts.

    Called with the inputs by name, (videos, frames, features) or (videos, *shape), and `<name>.mask`, (videos, frames), not
    0 where a frame is valid: `module({"features": x, "features.mask": m})`, `module(features=x, features_mask=m)`, or
    `module(x)` where there is one input. Gives the output, (videos, classes), or, where `returns_logits` is True, what
    `finish` makes the output of. In training mode dropout is PyTorch's own.
    """

    def __init__(self, spec: Spec, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.returns_logits = False
        self._inputs = CallInputs(spec, torch.is_tensor, shape_of)
        for placed in spec.layout:
            stream, name = placed.path.split(".")
            if not hasattr(self, stream):
                self.add_module(stream, nn.ModuleDict())
            getattr(self, stream)[name] = LAYERS[placed.layer.type](placed, dtype, device)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def logits(self, inputs: Mapping[str, Tensor], call: Call | None = None) -> Tensor:
        """The trunk's last values, (videos, classes), which the losses take.

        Args:
            inputs: `<name>` and `<name>.mask`, unchecked. A module in DistributedDataParallel is called instead, with
                `returns_logits` set.
        """
        call = Call() if call is None else call
        vectors = []
        for name, stream in self.spec.streams.items():
            x = inputs[stream.input].to(self.dtype)
            call.mask = inputs.get(f"{stream.input}.mask")
            if call.mask is not None:
                call.mask = call.mask.bool()
                x = x.masked_fill(~call.mask[:, :, None], 0.0)
            vectors.append(self._through(name, x, call))
        call.mask = None
        x = torch.cat(vectors, 1) if len(vectors) > 1 else vectors[0]
        return self._through("trunk", x, call)

    def forward(self, given: Mapping[str, Tensor] | Tensor | None = None, /, **named: Tensor) -> Tensor:
        logits = self.logits(self._inputs.gather(given, named))
        return logits if self.returns_logits else self.finish(logits)

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits."""
        if self.spec.output == "softmax":
            return torch.softmax(logits, -1)
        if self.spec.output == "log_softmax":
            return torch.log_softmax(logits, -1)
        return torch.sigmoid(logits) if self.spec.output == "sigmoid" else logits

    def _through(self, stream: str, x: Tensor, call: Call) -> Tensor:
        for name, layer in getattr(self, stream, {}).items():
            x = _through_layer(layer, x, call)
            call.recorded[f"{stream}.{name}"] = x
        return x


def _through_layer(layer: nn.Module, x: Tensor, call: Call) -> Tensor:
    if not any(isinstance(part, Layer) for part in layer.modules()):
        return layer(x)  # a user's own layer
    return over_bags(layer, x, call) if layer.bag else layer(x, call)  # one of ours, or a wrapper around one


def build(spec: Spec, device: str, dtype: str) -> Model:
    set_matrix_modes()
    precision = Precision(dtype)
    model = Model(spec, native_device(device), getattr(torch, precision.storage.name))
    for part in model.modules():
        if isinstance(part, Parameters) and precision.is_low:
            part.low = precision
    return model


def low_of(model: Model) -> Precision | None:
    """The precision of a model's products, where it is lower than its parameters'."""
    return next((part.low for part in model.modules() if isinstance(part, Parameters)), None)


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    state = {path: torch.from_numpy(np.array(value)) for path, value in parameters.items()}
    model.load_state_dict(state)


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: value.detach().cpu().numpy().copy() for path, value in model.state_dict().items()}


def to_device(model: Model, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """NumPy arrays as tensors on the model's device, sharing memory where they can."""
    return {
        name: torch.from_numpy(np.require(value, requirements=["C", "W"])).to(model.device)
        for name, value in arrays.items()
    }


def forward(
    model: Model,
    inputs: Mapping[str, Array],
    training: bool = False,
    dropout: Mapping[str, Array] | None = None,
    record: Sequence[str] = (),
) -> dict[str, Array]:
    model.train(training)
    call = Call(dropout=to_device(model, dropout or {}), packs=not training)
    with torch.inference_mode():
        logits = model.logits(to_device(model, inputs), call)
        found = {"output": model.finish(logits), "logits": logits} | {path: call.recorded[path] for path in record}
    model.eval()
    return {name: value.cpu().numpy() for name, value in found.items()}


def call_in_training(model: Model, inputs: Mapping[str, Array]) -> Array:
    """The output of the module in training mode, with dropout that the framework draws."""
    with torch.no_grad():
        output = model.train()(to_device(model, inputs))
    model.eval()
    return output.cpu().numpy()


def synchronise(model: nn.Module, on: bool = True) -> nn.Module:
    """Let the batch norms within a module take the statistics of all processes, in training.

    Padded frames do not count, and processes may have different numbers of videos.
    """
    for part in model.modules():
        if isinstance(part, Norm):
            part.synchronised = on
    return model
