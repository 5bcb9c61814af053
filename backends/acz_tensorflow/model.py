"""A spec as a keras.Model, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from acz.backend.inputs import CallInputs
from acz.foundation.arrays import Array
from acz.foundation.errors import InputError, SpecError, nearest
from acz.model.parameters import initial_parameters
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz_tensorflow import INFO
from acz_tensorflow.base import Call, Layer
from acz_tensorflow.devices import native_device
from acz_tensorflow.layers import LAYERS
from acz_tensorflow.pooling import over_bags
from acz_tensorflow.products import set_matrix_modes

Tensors = Mapping[str, Tensor]


def is_array(value: Any) -> bool:
    """True for what a model takes as an input."""
    return isinstance(value, tf.Tensor | tf.Variable | keras.KerasTensor | keras.Variable | np.ndarray)


def shape_of(value: Any) -> tuple[int | None, ...]:
    return tuple(value.shape)


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

    Called as acz.backend.inputs says, with (videos, frames, features) or (videos, *shape); gives the output (videos,
    classes), or the logits where `returns_logits` is set. With `training=True` dropout is TensorFlow's own. Under a
    mixed policy of Keras a call computes products in the policy's type, and gives float32; the functions of acz's own
    seam compute in the type of the parameters.

    Args:
        spec: the model.
        device: TensorFlow's name of it.
        dtype: of the parameters, or a mixed policy of Keras.
        products: the low precision of products, `bfloat16` and so on; empty where they have that of the parameters.
    """

    def __init__(self, spec: Spec, device: str, dtype: str, products: str = "") -> None:
        super().__init__(dtype=dtype)
        self.products = products
        self.spec, self._returns_logits = spec, False
        self.device, self.graphs = device, Graphs(device)
        self._call_inputs = CallInputs(spec, is_array, shape_of)
        with tf.device(device):
            self.steps = {placed.path: LAYERS[placed.layer.type](placed, dtype) for placed in spec.layout}
        for layer in self.steps.values():
            layer.low = Precision(products) if products else None
        self.build({name: (None, *shape) for name, shape in input_shapes(spec).items()})

    @property
    def returns_logits(self) -> bool:
        """True where a call gives the logits, which losses take, and not the output."""
        return self._returns_logits

    @returns_logits.setter
    def returns_logits(self, value: bool) -> None:
        self._returns_logits = bool(value)
        self.train_function = self.test_function = self.predict_function = None  # or Keras runs those of before

    def build(self, input_shape: Any = None) -> None:
        """Nothing is left to make; Keras notes the shapes."""

    def __call__(self, *given: Any, training: bool | None = None, **named: Any) -> Tensor:
        if len(given) > 1:
            raise InputError(f"one argument comes by position, not {len(given)}; {self._call_inputs.how_to_call()}")
        arrays = self._call_inputs.gather(given[0] if given else None, named)
        return super().__call__(arrays, **({} if training is None else {"training": training}))

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        arrays = self._call_inputs.gather(inputs, {})  # again: some of Keras' tools call this and not the model
        logits = self.logits(arrays, Call(training, dtype=self.compute_dtype))
        return logits if self.returns_logits else self.finish(logits)

    def logits(self, inputs: Tensors, call: Call | None = None) -> Tensor:
        """The trunk's last values, (videos, classes): what the losses take.

        Args:
            inputs: by name, with masks as `<name>.mask`; they are not checked.
            call: the run; by default one for inference. Users set `returns_logits` and call the model.
        """
        call = call or Call()
        call.dtype = call.dtype or self.dtype
        vectors = []
        for name, stream in self.spec.streams.items():
            x, mask = tf.cast(inputs[stream.input], call.dtype), inputs.get(f"{stream.input}.mask")
            call.mask = mask if mask is None or mask.dtype == tf.bool else tf.not_equal(mask, 0)
            if call.mask is not None:
                x = tf.where(tf.expand_dims(call.mask, 2), x, 0.0)
            vectors.append(self._through(name, x, call))
        call.mask = None
        x = tf.concat([tf.cast(v, call.dtype) for v in vectors], 1) if len(vectors) > 1 else vectors[0]
        return tf.cast(self._through("trunk", x, call), self.dtype)

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits."""
        if self.spec.output == "softmax":
            return tf.nn.softmax(logits)
        if self.spec.output == "log_softmax":
            return tf.nn.log_softmax(logits)
        return tf.sigmoid(logits) if self.spec.output == "sigmoid" else logits

    def _through(self, name: str, x: Tensor, call: Call) -> Tensor:
        for placed in self.spec.layout:
            if placed.path.startswith(f"{name}."):
                run = self._run_of(self.steps[placed.path])
                x = tf.cast(x, call.dtype)
                x = over_bags(placed, run, x, call) if placed.bag else run(x, call)
                call.recorded[placed.path] = x
        return x

    @staticmethod
    def _run_of(layer: keras.layers.Layer) -> Callable[[Tensor, Call], Tensor]:
        """A layer as a function: acz's own take the call, a user's takes the mode."""
        if not isinstance(layer, Layer):
            return lambda x, call: layer(x, training=call.training)

        def run(x: Tensor, call: Call) -> Tensor:
            with tf.name_scope(layer.name):
                return layer.call(x, call)

        return run

    def replace(self, path: str, layer: keras.layers.Layer) -> None:
        """Put a layer of Keras, or of a user, in place of one of the spec's.

        Args:
            path: the spec's path of a layer: `trunk.logits`.
            layer: takes what the spec's layer took, (videos, ...). It is saved with the model.

        Raises:
            SpecError: the model has no such layer.
        """
        if path not in self.steps:
            raise SpecError(f"the model has no layer '{path}'; {nearest(path, self.steps)}")
        shape = next(placed.input_shape for placed in self.spec.layout if placed.path == path)
        if not layer.built:
            layer.build((None, *shape))
        self._tracker.unlock()  # Keras lets a model that is built have no new layers
        self.steps.pop(path)
        self.steps[path] = layer
        self._tracker.lock()

    @property
    def replaced(self) -> dict[str, keras.layers.Layer]:
        """The layers that `replace` put in, by path."""
        return {path: layer for path, layer in self.steps.items() if not isinstance(layer, Layer)}

    @property
    def state(self) -> dict[str, keras.Variable]:
        """Every parameter and statistic by path, but those of replaced layers."""
        own = {path: layer for path, layer in self.steps.items() if isinstance(layer, Layer)}
        return {f"{path}.{name}": value for path, layer in own.items() for name, value in layer.own.items()}

    def export(self, filepath: Any, *arguments: Any, input_signature: Any = None, **options: Any) -> None:
        """Keras' export. By default the artefact takes a dictionary of the inputs, and no masks."""
        if input_signature is None:
            shapes, inputs = input_shapes(self.spec), self.spec.inputs
            specs = {name: keras.InputSpec(inputs[name].dtype, (None, *shape)) for name, shape in shapes.items()}
            input_signature = [specs]
        super().export(filepath, *arguments, input_signature=input_signature, **options)

    def quantize(self, mode: Any = None, config: Any = None, **options: Any) -> None:
        """Refused: Keras quantises layers of its own only, and passes over all others.

        Raises:
            SpecError: always.
        """
        raise SpecError("Keras can't quantize the layers of acz; type acz export --format tflite for int8 weights")

    def get_config(self) -> dict[str, Any]:
        config = {"spec": self.spec.to_dict(), "device": self.device, "dtype": self.dtype_policy.name}
        replaced = {path: keras.saving.serialize_keras_object(layer) for path, layer in self.replaced.items()}
        config |= {"products": self.products} if self.products else {}
        return config | {"returns_logits": self.returns_logits} | ({"replaced": replaced} if replaced else {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Model:
        """A model of this configuration with starting values, as Keras' models have them."""
        model = cls(Spec.from_dict(config["spec"]), config["device"], config["dtype"], config.get("products", ""))
        load_parameters(model, initial_parameters(model.spec))
        model.returns_logits = config.get("returns_logits", False)
        for path, layer in config.get("replaced", {}).items():
            model.replace(path, keras.saving.deserialize_keras_object(layer))
        return model


def input_shapes(spec: Spec) -> dict[str, tuple[int | None, ...]]:
    """The shape of each input without the axis of videos. Frames are of any number."""
    return {
        name: (None, entry.features) if entry.has_frames else entry.resolve() for name, entry in spec.inputs.items()
    }


def policy_of(dtype: str) -> str:
    """The policy of a new model: its type, or Keras' mixed policy where a float32 model is built under one.

    Raises:
        SpecError: a policy keeps parameters in fewer bits, quantises, or contradicts the type.
    """
    if dtype not in ("float32", "float64"):
        advice = f"{INFO.mixed_precision} before the model is built"
        raise SpecError(
            f"a model of TensorFlow is float32 or float64, not '{dtype}'; for mixed precision type {advice}"
        )
    policy = keras.config.dtype_policy()
    if policy.quantization_mode is None and policy.compute_dtype == policy.variable_dtype in ("float32", "float64"):
        return dtype
    if policy.quantization_mode is None and policy.variable_dtype == dtype == "float32":
        return str(policy.name)
    raise SpecError(
        f"no {dtype} model can be built under Keras' policy '{policy.name}'; before it type "
        f"keras.config.set_dtype_policy('{dtype}'), or {INFO.mixed_precision} for a float32 model of mixed precision"
    )


def build(spec: Spec, device: str, dtype: str) -> Model:
    set_matrix_modes()
    precision = Precision(dtype)
    products = precision.value if precision.is_low else ""
    return Model(spec, native_device(device), policy_of(precision.storage.name), products)


def low_of(model: Model) -> Precision | None:
    """The precision of a model's products, where it is lower than its parameters'."""
    return Precision(model.products) if model.products else None


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


def call_in_training(model: Model, inputs: Mapping[str, Array]) -> Array:
    """The output of the module in training mode, with dropout that the framework draws."""
    return model(to_device(model, inputs), training=True).numpy()
