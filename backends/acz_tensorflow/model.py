"""A spec as a keras.Model, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz_tensorflow.base import Call
from acz_tensorflow.devices import native_device
from acz_tensorflow.layers import LAYERS
from acz_tensorflow.pooling import over_bags

Tensors = Mapping[str, Tensor]


class Graphs:
    """A model's functions as graphs, each traced once for all numbers of videos and frames."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.traced: dict[Any, Callable[..., Any]] = {}

    def __call__(self, function: Callable[..., Any], settings: tuple[Any, ...], *groups: Tensors) -> Any:
        """`function` of groups of arrays by name; `settings` tell it from the model's other functions."""
        kinds = tuple(tuple((name, value.ndim, value.dtype) for name, value in group.items()) for group in groups)
        if (settings, kinds) not in self.traced:
            signature = [{name: tf.TensorSpec([None] * axes, dtype) for name, axes, dtype in group} for group in kinds]
            with tf.device(self.device):
                graph = tf.function(function, autograph=False).get_concrete_function(*signature)
            self.traced[settings, kinds] = graph
        return self.traced[settings, kinds](*groups)


@keras.saving.register_keras_serializable("acz")
class Model(keras.Model):
    """A model of the zoo. `state` has the spec's paths and layouts, and the variables' names are these paths.

    Called with the inputs by name, (videos, frames, features) or (videos, *shape), and `<name>.mask`, bool (videos, frames), for
    padded videos; gives the output (videos, classes). With `training=True` dropout is TensorFlow's own.
    """

    def __init__(self, spec: Spec, device: str, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.spec = spec
        self.device, self.graphs = device, Graphs(device)
        with tf.device(device):
            self.steps = {placed.path: LAYERS[placed.layer.type](placed, dtype) for placed in spec.layout}
        self.built = True

    def logits(self, inputs: Tensors, call: Call) -> Tensor:
        """The trunk's last values, (videos, classes): what the losses take."""
        vectors = []
        for name, stream in self.spec.streams.items():
            x = tf.cast(inputs[stream.input], self.dtype)
            call.mask = inputs.get(f"{stream.input}.mask")
            if call.mask is not None:
                x = tf.where(tf.expand_dims(call.mask, 2), x, 0.0)
            vectors.append(self._through(name, x, call))
        call.mask = None
        x = tf.concat(vectors, 1) if len(vectors) > 1 else vectors[0]
        return self._through("trunk", x, call)

    def call(self, inputs: Tensors, training: bool = False) -> Tensor:
        return self.finish(self.logits(inputs, Call(training)))

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits."""
        if self.spec.output == "softmax":
            return tf.nn.softmax(logits)
        if self.spec.output == "log_softmax":
            return tf.nn.log_softmax(logits)
        return tf.sigmoid(logits) if self.spec.output == "sigmoid" else logits

    def _through(self, name: str, x: Tensor, call: Call) -> Tensor:
        for path, layer in self.steps.items():
            if path.startswith(f"{name}."):
                x = over_bags(layer, x, call) if layer.placed.bag else layer(x, call=call)
                call.recorded[path] = x
        return x

    @property
    def state(self) -> dict[str, keras.Variable]:
        """Every parameter and statistic by path."""
        return {f"{path}.{name}": value for path, layer in self.steps.items() for name, value in layer.own.items()}

    def get_config(self) -> dict[str, Any]:
        return {"spec": self.spec.to_dict(), "device": self.device, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        return cls(Spec.from_dict(config["spec"]), config["device"], config["dtype"])


def build(spec: Spec, device: str, dtype: str) -> Model:
    return Model(spec, native_device(device), dtype)


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    state = model.state
    for path, value in parameters.items():
        state[path].assign(value)


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: value.numpy() for path, value in model.state.items()}


def to_device(model: Model, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """NumPy arrays as tensors on the model's device."""
    with tf.device(model.device):
        return {name: tf.constant(value) for name, value in arrays.items()}


def forward(
    model: Model,
    inputs: Mapping[str, Array],
    training: bool = False,
    dropout: Mapping[str, Array] | None = None,
    record: Sequence[str] = (),
) -> dict[str, Array]:
    def run(fed: Tensors, dropout: Tensors) -> dict[str, Tensor]:
        call = Call(training, dropout=dropout)
        logits = model.logits(fed, call)
        return {"output": model.finish(logits), "logits": logits} | {path: call.recorded[path] for path in record}

    settings = ("forward", training, *record)
    found = model.graphs(run, settings, to_device(model, inputs), to_device(model, dropout or {}))
    return {name: value.numpy() for name, value in found.items()}
