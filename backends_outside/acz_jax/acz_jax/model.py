"""A spec as a pytree of JAX that can be called, and its parameters and outputs as NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array as Tensor

from acz.backend.inputs import MASK, CallInputs
from acz.foundation.arrays import Array
from acz.model.spec import Spec
from acz_jax.base import Call, Layer, Tensors, jitted
from acz_jax.devices import native_device
from acz_jax.layers import LAYERS
from acz_jax.pooling import over_bags


def is_array(value: Any) -> bool:
    return isinstance(value, jax.Array | np.ndarray)


def shape_of(value: Any) -> Sequence[Any]:
    shape: Sequence[Any] = value.shape
    return shape


@dataclass(frozen=True)
class Known:
    """The parts of a model that JAX's transformations take as constants."""

    spec: Spec = field(compare=False)
    spec_hash: str
    device: str
    dtype: str
    returns_logits: bool
    paths: tuple[str, ...]
    """The leaves' paths, in their order."""


@jax.tree_util.register_pytree_with_keys_class
class Model:
    """A model of the zoo: a pytree whose leaves are the parameters and statistics by the spec's paths, in its layouts.

    Called as acz.backend.inputs says, it gives the output (videos, classes), or the logits where `returns_logits` is
    True. With `training=True` a batch norm takes the statistics of the batch, and dropout draws from `key`. A call changes
    nothing; `apply` also gives the new running statistics. `jax.jit`, `jax.grad` and optimisers take the model as they
    take any pytree. Statistics and fixed parameters have gradients of 0.
    """

    def __init__(self, spec: Spec, device: str, dtype: str) -> None:
        self.spec, self.device, self.dtype, self.returns_logits = spec, device, dtype, False
        self.parameters: dict[str, Tensor] = {}
        self._inputs = CallInputs(spec, is_array, shape_of)
        self._layers: dict[str, dict[str, Layer]] = {}
        for placed in spec.layout:
            stream, name = placed.path.split(".")
            self._layers.setdefault(stream, {})[name] = LAYERS[placed.layer.type](placed)
        self.compiled: dict[Any, Any] = {}
        """The compiled functions of the seam, by what tells them apart."""

    def tree_flatten_with_keys(self) -> tuple[Any, Known]:
        paths = tuple(sorted(self.parameters))
        leaves = [(jax.tree_util.DictKey(path), self.parameters[path]) for path in paths]
        return leaves, Known(self.spec, self.spec.hash, self.device, self.dtype, self.returns_logits, paths)

    @classmethod
    def tree_unflatten(cls, known: Known, leaves: Any) -> Model:
        model = cls(known.spec, known.device, known.dtype)
        model.returns_logits, model.parameters = known.returns_logits, dict(zip(known.paths, leaves, strict=True))
        return model

    def __call__(
        self, given: Any = None, /, *, training: bool = False, key: Tensor | None = None, **named: Any
    ) -> Tensor:
        return self.apply(given, training=training, key=key, **named)[0]

    def apply(
        self, given: Any = None, /, *, training: bool = False, key: Tensor | None = None, **named: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The values of a call, and the statistics by path that the model has after it: none but in training."""
        inputs = {name: jnp.asarray(value) for name, value in self._inputs.gather(given, named).items()}
        call = Call(training, key=key)
        logits = self.logits(self.parameters, inputs, call)
        return logits if self.returns_logits else self.finish(logits), call.moved

    def logits(self, parameters: Tensors, inputs: Tensors, call: Call) -> Tensor:
        """The trunk's last values, (videos, classes): what the losses take.

        Args:
            parameters: by path.
            inputs: `<name>` and `<name>.mask`, unchecked.
            call: the run.
        """
        vectors = []
        for name, stream in self.spec.streams.items():
            x, mask = inputs[stream.input].astype(self.dtype), inputs.get(f"{stream.input}{MASK}")
            call.mask = None if mask is None else mask != 0
            if call.mask is not None:
                x = jnp.where(call.mask[:, :, None], x, 0.0)
            vectors.append(self._through(name, parameters, x, call))
        call.mask = None
        x = jnp.concatenate(vectors, 1) if len(vectors) > 1 else vectors[0]
        return self._through("trunk", parameters, x, call)

    def finish(self, logits: Tensor) -> Tensor:
        """The output of logits."""
        if self.spec.output == "softmax":
            return jax.nn.softmax(logits, -1)
        if self.spec.output == "log_softmax":
            return jax.nn.log_softmax(logits, -1)
        return jax.nn.sigmoid(logits) if self.spec.output == "sigmoid" else logits

    def _through(self, stream: str, parameters: Tensors, x: Tensor, call: Call) -> Tensor:
        for name, layer in self._layers.get(stream, {}).items():
            path = f"{stream}.{name}"
            own = {
                key.removeprefix(f"{path}."): value
                if self.spec.parameters[key].role == "trained"
                else jax.lax.stop_gradient(value)
                for key, value in parameters.items()
                if key.startswith(f"{path}.")
            }
            x = over_bags(layer, own, x, call) if layer.bag else layer(own, x, call)
            call.recorded[path] = x
        return x

    def compile(self, function: Any, *known: Any, **options: Any) -> Any:
        """The compiled form of a function of the seam; `known` tells it from the model's other functions."""
        if known not in self.compiled:
            self.compiled[known] = jitted(function, **options)
        return self.compiled[known]


def numbers(model: Model) -> AbstractContextManager[Any]:
    """JAX with numbers of 64 bits for a float64 model, and of 32 bits for others, whatever the process has set."""
    context: AbstractContextManager[Any] = jax.enable_x64(model.dtype == "float64")
    return context


def build(spec: Spec, device: str, dtype: str) -> Model:
    model = Model(spec, device, dtype)
    load_parameters(model, {path: np.zeros(p.shape, dtype) for path, p in spec.parameters.items()})
    return model


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    model.parameters |= to_device(model, {path: np.array(value) for path, value in parameters.items()})


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: np.array(value) for path, value in model.parameters.items()}


def to_device(model: Model, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """NumPy arrays on the model's device, sharing memory where they can."""
    with numbers(model):
        return jax.device_put(dict(arrays), native_device(model.device))


def forward(
    model: Model,
    inputs: Mapping[str, Array],
    training: bool = False,
    dropout: Mapping[str, Array] | None = None,
    record: Sequence[str] = (),
) -> dict[str, Array]:
    def run(parameters: Tensors, fed: Tensors, dropout: Tensors) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        call = Call(training, dropout=dropout)
        logits = model.logits(parameters, fed, call)
        values = {"output": model.finish(logits), "logits": logits} | {path: call.recorded[path] for path in record}
        return values, call.moved

    with numbers(model):
        compiled = model.compile(run, "forward", training, *record)
        values, moved = compiled(model.parameters, to_device(model, inputs), to_device(model, dropout or {}))
    model.parameters |= moved
    return {name: np.array(value) for name, value in values.items()}
