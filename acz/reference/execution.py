"""The reference: a spec run with NumPy, in float64 or float32, with exact gradients by complex steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError, nearest
from acz.model.layers import Call
from acz.model.layers.activation import log_softmax, sigmoid, softmax
from acz.model.layers.bags import over_bags
from acz.model.layers.base import multiply
from acz.model.parameters import check_parameters
from acz.model.spec import Spec


@dataclass
class Result:
    """The result of a run of the reference: the trunk's last values, the output, records and new statistics."""

    logits: Array
    output: Array
    recorded: dict[str, Array]
    updated: dict[str, Array]


def check_inputs(spec: Spec, inputs: Mapping[str, Array]) -> int:
    """Raise SpecError unless every input is there with its shape; gives the number of videos.

    Keys: an input's name, array (videos, frames, features) with any number of frames, or (videos, *shape);
    and `<name>.mask`, bool (videos, frames), for frame inputs, true where a frame is valid.
    """
    known = set(spec.inputs) | {f"{name}.mask" for name, entry in spec.inputs.items() if entry.has_frames}
    for name in inputs:
        if name not in known:
            raise SpecError(f"there is no input '{name}'; {nearest(name, known)}")
    videos = None
    for name, entry in spec.inputs.items():
        if name not in inputs:
            raise SpecError(f"input '{name}' is missing; the model reads {', '.join(spec.inputs)}")
        shape = np.shape(inputs[name])  # (videos, ...)
        frames = shape[1] if entry.has_frames and len(shape) == 3 else None
        expected = entry.resolve(frames)
        if shape[1:] != expected:
            raise SpecError(
                f"input '{name}' must have the shape (videos, {', '.join(map(str, expected))}), got {shape}"
            )
        if videos not in (None, shape[0]):
            raise SpecError(f"input '{name}' has {shape[0]} videos, another has {videos}")
        videos = shape[0]
        mask = inputs.get(f"{name}.mask")
        if mask is not None and np.shape(mask) != shape[:2]:
            raise SpecError(f"input '{name}.mask' must have the shape {shape[:2]}, got {np.shape(mask)}")
    return int(videos or 0)


def forward(
    spec: Spec,
    parameters: Mapping[str, Array],
    inputs: Mapping[str, Array],
    training: bool = False,
    record: bool = False,
    dropout: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Run a model in NumPy, in the precision of its parameters.

    Args:
        parameters: arrays by path.
        inputs: arrays by name, as `check_inputs` wants them.
        training: take the batch's statistics and apply dropout masks.
        record: also give every layer's output, and its inner values.
        dropout: masks by path; without one nothing is dropped.

    Returns:
        `output`, (videos, classes), and `logits`, the same before the output function. With `record`, every layer's
        output by path, and its inner values: an attention cluster's `weights`, (videos, frames, units), or, where it
        takes bags, (videos * bags, frames of a bag, units). In training, the new running statistics as
        `updated.<path>`.

    Raises:
        SpecError: inputs or parameters are not the spec's.
    """
    check_parameters(spec, parameters)
    check_inputs(spec, inputs)
    result = run(spec, parameters, inputs, training, record, dropout)
    values = {"output": result.output, "logits": result.logits} | result.recorded
    return values | {f"updated.{path}": value for path, value in result.updated.items()}


def run(
    spec: Spec,
    parameters: Mapping[str, Array],
    inputs: Mapping[str, Array],
    training: bool = False,
    record: bool = False,
    dropout: Mapping[str, Array] | None = None,
    known: Mapping[str, Array] | None = None,
    statistics: bool = True,
    products: Callable[[str, Array, Array, str], Array] = multiply,
) -> Result:
    """`forward` without its checks; parameters and inputs may be complex, for derivatives.

    Args:
        known: outputs of layers by path; neither these layers nor those before them in their stream run.
        statistics: give the new running statistics in training.
        products: what multiplies; see acz.model.layers.base.Call.
    """
    known = known or {}
    kind = np.result_type(np.float32, *{value.dtype for value in parameters.values()})
    call = Call(training, dropout or {}, {} if record else None, {} if statistics else None, products=products)

    def last_known(prefix: str, layers: Mapping[str, Any]) -> str | None:
        return next((name for name in reversed(list(layers)) if f"{prefix}.{name}" in known), None) if known else None

    def through(prefix: str, layers: Mapping[str, Any], x: Array, skipped: str | None) -> Array:
        names = list(layers)
        for name in names[names.index(skipped) + 1 :] if skipped else names:
            call.path, layer = f"{prefix}.{name}", layers[name]
            bag = spec.bags.get(call.path, 0)
            p = {own: parameters[path] for own, path in spec.parameter_paths[call.path].items()}
            x = over_bags(layer, bag, x, p, call) if bag else layer.reference(x, p, call)
            if call.recorded is not None:
                call.recorded[call.path] = x
        return x

    vectors = []
    for name, stream in spec.streams.items():
        mask = inputs.get(f"{stream.input}.mask")
        call.mask = None if mask is None else np.asarray(mask, dtype=bool)
        skipped = last_known(name, stream.layers)
        x = known[f"{name}.{skipped}"] if skipped else _as_array(inputs[stream.input])
        if skipped is None:
            x = x.astype(np.result_type(kind, x.dtype) if np.iscomplexobj(x) else kind)
            if call.mask is not None:
                x = np.where(call.mask[:, :, None], x, x.dtype.type(0))  # whatever padding holds never counts
        vectors.append(through(name, stream.layers, x, skipped))
    call.mask = None
    skipped = last_known("trunk", spec.trunk)
    x = known[f"trunk.{skipped}"] if skipped else np.concatenate(vectors, axis=1)  # (videos, sum of widths)
    logits = through("trunk", spec.trunk, x, skipped)
    functions = {"softmax": softmax, "log_softmax": log_softmax, "sigmoid": sigmoid}
    output = functions[spec.output](logits) if spec.output in functions else logits
    return Result(logits, output, call.recorded or {}, call.updated or {})


def _as_array(value: Any) -> Any:
    """A list or a framework's array as NumPy's; a traced array stays one."""
    return value if hasattr(value, "__array_function__") else np.asarray(value)
