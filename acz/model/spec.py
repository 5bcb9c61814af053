"""A model as data: read, validate, infer every shape, list every parameter. Nothing is computed here."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from acz.foundation.arrays import Shape
from acz.foundation.errors import SpecError, nearest
from acz.foundation.settings import validate
from acz.model.layers import LAYERS, Layer, Parameter
from acz.model.names import PYTHON, STREAMS

Output = Literal["none", "softmax", "log_softmax", "sigmoid", "probabilities"]
"""The function from the trunk's last values, the logits, to the output. `none` and `probabilities` change nothing."""

MOST_ELEMENTS = 2**31
"""The most parameters of a model, and the most numbers of an input or a layer for one video: 8 GiB in float32."""


class Input(BaseModel):
    """A named input: frame features `{frames: 25, features: 50}`, or an array of any shape `{shape: [1, 28, 28]}`.

    `frames` is the usual number of frames; a model takes any number. `dtype: uint8` says that the data are bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    frames: int | None = Field(default=None, gt=0, le=2**24)
    features: int | None = Field(default=None, gt=0, le=2**31)
    shape: tuple[int, ...] | None = Field(default=None, min_length=1, max_length=8)
    dtype: Literal["float32", "uint8"] = "float32"

    @model_validator(mode="after")
    def _has_one_form(self) -> Input:
        of_frames = self.frames is not None and self.features is not None
        if of_frames == (self.shape is not None) or (self.frames is None) != (self.features is None):
            raise ValueError("give either frames and features, or shape")
        if self.shape and not all(0 < side <= 2**24 for side in self.shape):
            raise ValueError("every side of shape must be 1 .. 16777216")
        return self

    @property
    def has_frames(self) -> bool:
        """True for frame features, False for an array of a fixed shape."""
        return self.frames is not None

    def resolve(self, frames: int | None = None) -> Shape:
        """Give the shape of one video's array, (frames, features) or `shape`. `frames` replaces the usual number."""
        if self.frames is not None and self.features is not None:
            return (frames or self.frames, self.features)
        return tuple(self.shape or ())


@dataclass(frozen=True)
class Stream:
    """Named layers that turn one input into a vector.

    With `bags` above 1 the input's frames are that many samplings of one video, one after another: the bags. The layers
    before the pooling layer (such as frame_pool) see all frames. The pooling layer makes one vector of each bag. The
    layers after it see the average of these vectors.
    """

    input: str
    layers: Mapping[str, Layer]
    bags: int = 1


@dataclass(frozen=True)
class PlacedLayer:
    """A layer in its place: its path, its shapes without the axis of videos, and its parameters by local name."""

    path: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: Mapping[str, Parameter]
    bag: int = 0
    """The number of frames of a bag, where this layer takes each bag by itself (acz.model.layers.bags), else 0.

    `input_shape` is then the shape of one bag.
    """


@dataclass(frozen=True)
class Spec:
    """A validated model: inputs, streams, and a trunk over the concatenated streams.

    Two specs with an equal `hash` describe the same function with the same names.
    """

    inputs: Mapping[str, Input]
    streams: Mapping[str, Stream]
    trunk: Mapping[str, Layer]
    output: Output

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Spec:
        """Make a spec from a plain tree: check every setting and infer every shape.

        Raises:
            SpecError: the tree is not a model. The message names the place in the tree.
        """
        _keys(tree, {"inputs", "streams", "trunk", "output"}, "model", required={"inputs", "streams"})
        inputs = {name: validate(Input, value, f"model.inputs.{name}") for name, value in _named(tree, "inputs")}
        streams = {}
        for name, value in _named(tree, "streams"):
            place = f"model.streams.{name}"
            _keys(value, {"input", "bags", "layers"}, place, required={"input"})
            if not isinstance(value["input"], str) or value["input"] not in inputs:
                raise SpecError(
                    f"{place}.input: '{value['input']}' is not an input; {nearest(str(value['input']), inputs)}"
                )
            layers = _layers(value.get("layers") or {}, f"{place}.layers")
            bags = _bags(value.get("bags", 1), inputs[value["input"]], f"{place}.bags")
            streams[name] = Stream(value["input"], layers, bags)
        trunk = _layers(tree.get("trunk") or {}, "model.trunk")
        output = tree.get("output", "none")
        if not isinstance(output, str) or output not in get_args(Output):
            raise SpecError(f"model.output: '{output}' is not an output; {nearest(str(output), get_args(Output))}")
        spec = cls(inputs, streams, trunk, cast(Output, output))
        if output == "probabilities" and not spec.ends_in_probabilities:
            raise SpecError(
                "model.output: 'probabilities' says that the trunk ends in numbers of 0 .. 1, as those of mixture_of_experts are; "
                "for a trunk that ends in logits, type sigmoid or softmax"
            )
        total = spec.parameter_count  # infers every shape, so that every shape error is raised here
        if total > MOST_ELEMENTS:
            raise SpecError(
                f"model: {total:,} parameters need {total * 4 / 2**30:,.0f} GiB in float32; "
                f"at most {MOST_ELEMENTS:,} are allowed. Largest: {spec.largest_parameter}"
            )
        shapes = {f"inputs.{name}": entry.resolve() for name, entry in inputs.items()}
        for path, shape in (shapes | {placed.path: placed.output_shape for placed in spec.layout}).items():
            if math.prod(shape) > MOST_ELEMENTS:
                raise SpecError(
                    f"model: {path} has the shape {shape}, {math.prod(shape) * 4 / 2**30:,.0f} GiB for one video in float32; "
                    f"at most {MOST_ELEMENTS:,} numbers are allowed"
                )
        return spec

    def to_dict(self) -> dict[str, Any]:
        """Give the plain tree, with the settings that were set. `from_dict` makes an equal spec from it."""
        tree: dict[str, Any] = {
            "inputs": {name: _plain(value) for name, value in self.inputs.items()},
            "streams": {
                name: {
                    "input": stream.input,
                    **({"bags": stream.bags} if stream.bags > 1 else {}),
                    "layers": {k: _plain(v) for k, v in stream.layers.items()},
                }
                for name, stream in self.streams.items()
            },
        }
        if self.trunk:
            tree["trunk"] = {name: _plain(layer) for name, layer in self.trunk.items()}
        return tree | {"output": self.output}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let a spec be a field of what pydantic reads and writes: it travels as its plain tree."""
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Spec) else Spec.from_dict(value),
            serialization=core_schema.plain_serializer_function_ser_schema(Spec.to_dict),
        )

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits. Settings at their defaults, and the order of settings, do not change them."""

        def essence(layers: Mapping[str, Layer]) -> list[Any]:
            return [
                [name, {"type": v.type} | v.model_dump(exclude_defaults=True, exclude=v.NOT_HASHED)]
                for name, v in layers.items()
            ]

        text = json.dumps(
            [
                [[name, v.model_dump(exclude_defaults=True)] for name, v in self.inputs.items()],
                [
                    [name, s.input, essence(s.layers), *([s.bags] if s.bags > 1 else [])]
                    for name, s in self.streams.items()
                ],
                essence(self.trunk),
                self.output,
            ],
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def place_layers(self, frames: Mapping[str, int] | None = None) -> Iterator[PlacedLayer]:
        """Put every layer in its place, in the order of execution: the streams, then the trunk.

        `frames` replaces the usual numbers of frames, by input.

        Raises:
            SpecError: a layer cannot take the shape that comes to it, or a stream does not end in a vector.
        """
        width = 0
        for name, stream in self.streams.items():
            entry = self.inputs[stream.input]
            shape = entry.resolve((frames or {}).get(stream.input))
            bag = entry.resolve()[0] // stream.bags if stream.bags > 1 else 0
            for placed in _walk(name, stream.layers, shape, "model.streams", bag):
                yield placed
                shape = placed.output_shape
            if len(shape) != 1:
                raise SpecError(
                    f"model.streams.{name}: a stream must end in a vector, this one ends in {shape}; "
                    "add a layer that pools the frames, such as attention_cluster, or flatten"
                )
            width += shape[0]
        for placed in _walk("trunk", self.trunk, (width,), "model"):
            if len(placed.output_shape) != 1:
                raise SpecError(
                    f"model.{placed.path}: a trunk's layer must give a vector, this one gives {placed.output_shape}"
                )
            yield placed

    @cached_property
    def layout(self) -> tuple[PlacedLayer, ...]:
        """Every layer in its place, for the usual numbers of frames."""
        return tuple(self.place_layers())

    @cached_property
    def bags(self) -> dict[str, int]:
        """Maps the path of each layer that takes bags to the number of frames of a bag."""
        return {placed.path: placed.bag for placed in self.layout if placed.bag}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Maps each path to its parameter: shape, starting values and role. The order is the order of the YAML."""
        return {f"{placed.path}.{name}": p for placed in self.layout for name, p in placed.parameters.items()}

    @cached_property
    def parameter_paths(self) -> dict[str, dict[str, str]]:
        """Maps each layer's path to {local name: full path} of its parameters."""
        return {placed.path: {name: f"{placed.path}.{name}" for name in placed.parameters} for placed in self.layout}

    @property
    def trained(self) -> list[str]:
        """Paths of the parameters that the optimiser changes."""
        return [path for path, p in self.parameters.items() if p.role == "trained"]

    @property
    def statistics(self) -> list[str]:
        """Paths of the running means and variances."""
        return [path for path, p in self.parameters.items() if p.role == "statistic"]

    @property
    def parameter_count(self) -> int:
        """The number of elements of all parameters and statistics."""
        return sum(p.size for p in self.parameters.values())

    @property
    def largest_parameter(self) -> str:
        """Path and shape of the largest parameter, for messages."""
        path, p = max(self.parameters.items(), key=lambda item: item[1].size)
        return f"{path} {p.shape}"

    @property
    def ends_in_probabilities(self) -> bool:
        """True where the trunk gives numbers of 0 .. 1 for all inputs."""
        probabilities = False
        for layer in self.trunk.values():
            probabilities = layer.gives_probabilities(probabilities)
        return probabilities

    @cached_property
    def width(self) -> int:
        """The number of values of the output for one video."""
        if self.trunk:
            return self.layout[-1].output_shape[0]
        widths = {placed.path.partition(".")[0]: placed.output_shape[0] for placed in self.layout}
        return sum(widths.get(name, self.inputs[s.input].resolve()[0]) for name, s in self.streams.items())

    @cached_property
    def recordable(self) -> tuple[str, ...]:
        """Paths that `record` takes: every layer's output, and inner values of some layers."""
        return tuple(
            path
            for placed in self.layout
            for path in [*(f"{placed.path}.{name}" for name in placed.layer.recorded()), placed.path]
        )

    def dropout_masks(self, frames: Mapping[str, int] | None = None) -> dict[str, tuple[Shape, float]]:
        """Map the path of each dropout mask to its shape, without the axis of videos, and its drop rate.

        `frames` replaces the usual numbers of frames, by input.
        """
        return {
            f"{placed.path}.{name}" if name else placed.path: mask
            for placed in self.place_layers(frames)
            for name, mask in placed.layer.dropout_masks(placed.input_shape).items()
        }


def _walk(prefix: str, layers: Mapping[str, Layer], shape: Shape, place: str, bag: int = 0) -> Iterator[PlacedLayer]:
    for name, layer in layers.items():
        path = f"{prefix}.{name}"
        try:
            output = layer.output_shape(shape)
            by_bag = bag > 0 and len(shape) == 2 and len(output) == 1
            if by_bag:
                shape = (bag, shape[1])
                output = layer.output_shape(shape)
                if layer.dropout_masks(shape):
                    raise ValueError(f"{layer.type} can't use its own dropout on bags; add a dropout layer before it")
        except ValueError as error:
            raise SpecError(f"{place}.{path}: {error}") from None
        yield PlacedLayer(path, layer, shape, output, layer.parameters(shape), bag if by_bag else 0)
        shape = output


def _bags(value: Any, entry: Input, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SpecError(f"{place}: must be a number of bags, from 1, got {value!r}")
    if value > 1 and (entry.frames is None or entry.frames % value):
        frames = "no frames" if entry.frames is None else f"{entry.frames} frames"
        raise SpecError(
            f"{place}: {value} bags need an input with a multiple of {value} frames, and this input has {frames}"
        )
    return value


def _keys(value: Any, known: set[str], place: str, required: frozenset[str] | set[str] = frozenset()) -> None:
    if not isinstance(value, Mapping):
        raise SpecError(f"{place}: must be a mapping of {', '.join(sorted(known))}, got {value!r}")
    for key in value:
        if key not in known:
            raise SpecError(f"{place}: unknown key '{key}'; {nearest(str(key), known)}")
    for key in sorted(required - set(value)):
        raise SpecError(f"{place}: '{key}' is missing")


def _named(tree: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    value = tree[key]
    if not isinstance(value, Mapping) or not value:
        raise SpecError(f"model.{key}: must be a mapping from names, with at least one entry, got {value!r}")
    for name in value:
        _check_name(name, f"model.{key}", PYTHON | STREAMS)
    return list(value.items())


def _check_name(name: Any, place: str, reserved: frozenset[str] = PYTHON) -> None:
    if name in reserved:
        raise SpecError(
            f"{place}: the name '{name}' is reserved by Python or by acz; use another name, such as '{name}_1'"
        )
    if not isinstance(name, str) or not name.isidentifier():
        raise SpecError(
            f"{place}: the name {name!r} must have letters, digits and underscores only, and must not begin with a digit"
        )


def _layers(tree: Any, place: str) -> dict[str, Layer]:
    if not isinstance(tree, Mapping):
        raise SpecError(f"{place}: must be a mapping from layer names, got {tree!r}")
    layers = {}
    for name, value in tree.items():
        _check_name(name, place)
        if not isinstance(value, Mapping) or "type" not in value:
            raise SpecError(f"{place}.{name}: must be a mapping with a 'type'; {nearest('', LAYERS)}")
        if not isinstance(value["type"], str) or value["type"] not in LAYERS:
            raise SpecError(
                f"{place}.{name}: '{value['type']}' is not a type of layer; {nearest(str(value['type']), LAYERS)}"
            )
        layers[name] = validate(LAYERS[value["type"]], value, f"{place}.{name}")
    return layers


def _plain(settings: BaseModel) -> dict[str, Any]:
    return settings.model_dump(exclude_unset=True, mode="json")
