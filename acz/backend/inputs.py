"""The inputs of a call of a native module: one rule, and one error, for every framework.

A module takes `module({"features": x, "features.mask": m})`, `module(features=x, features_mask=m)`, or `module(x)` where
the model has one input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from acz.foundation.errors import InputError, nearest
from acz.model.spec import Spec

MASK = ".mask"
"""The end of the key of an input's mask."""


class CallInputs:
    """The inputs that a spec's module takes, by the names under which they may come.

    Args:
        spec: the model.
        is_array: tells whether a value is an array of the framework.
        shape_of: gives a value's shape. A side that is not known yet is anything but an int above or equal to 0, so shapes
            are compared while a framework traces the module, too.
    """

    def __init__(self, spec: Spec, is_array: Callable[[Any], bool], shape_of: Callable[[Any], Sequence[Any]]) -> None:
        self.is_array, self.shape_of = is_array, shape_of
        self.inputs = dict(spec.inputs)
        self.read = {stream.input for stream in spec.streams.values()}
        framed = [name for name, entry in self.inputs.items() if entry.has_frames]
        self.keys = {f"{name}_mask": f"{name}{MASK}" for name in framed}
        self.keys |= {f"{name}{MASK}": f"{name}{MASK}" for name in framed} | {name: name for name in self.inputs}
        """Keys of the core by every name that a caller may use."""

    def gather(self, given: Any, named: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays of a call, by the core's keys: `<input>` and `<input>.mask`.

        Args:
            given: what came by position: a mapping of arrays, one array, or None.
            named: what came by keyword.

        Raises:
            InputError: something is missing, unknown, given twice, no array, or of another shape.
        """
        if given is not None and named:
            raise InputError(f"inputs come by position or by name, not both; {self.how_to_call()}")
        if given is None:
            pairs = named
        elif isinstance(given, Mapping):
            pairs = given
        elif len(self.inputs) == 1:
            pairs = {next(iter(self.inputs)): given}
        else:
            raise InputError(f"the model has {len(self.inputs)} inputs; {self.how_to_call()}")
        arrays: dict[str, Any] = {}
        for name, value in pairs.items():
            if name not in self.keys:
                raise InputError(f"the model has no input '{name}'; {nearest(str(name), self.keys)}")
            key = self.keys[name]
            if key in arrays:
                raise InputError(f"'{name}' is given twice")
            if value is None and key.endswith(MASK):
                continue  # no frame is padded
            if not self.is_array(value):
                raise InputError(f"'{name}' must be an array of the framework, not {type(value).__name__}")
            arrays[key] = value
        if missing := [name for name in self.inputs if name in self.read and name not in arrays]:
            raise InputError(f"the input '{missing[0]}' is missing; {self.how_to_call()}")
        self._check_shapes(arrays)
        return arrays

    def _check_shapes(self, arrays: Mapping[str, Any]) -> None:
        videos: tuple[str, Any] | None = None
        for key, value in arrays.items():
            name = key.removesuffix(MASK) if key not in self.inputs else key
            entry, shape = self.inputs[name], tuple(self.shape_of(value))
            wanted: tuple[Any, ...]
            if name != key:
                frames = tuple(self.shape_of(arrays[name]))[:2] if name in arrays else (None, None)
                wanted, words = frames, f"(videos, frames), {frames} as '{name}' has"
            elif entry.has_frames:
                wanted, words = (None, None, entry.features), f"(videos, frames, {entry.features})"
            else:
                wanted, words = (None, *entry.resolve()), f"(videos, {', '.join(map(str, entry.resolve()))})"
            same = len(shape) == len(wanted) and all(map(_may_be_equal, shape, wanted))
            if not same:
                raise InputError(f"'{key}' must have the shape {words}, not {shape}")
            if videos is not None and not _may_be_equal(videos[1], shape[0]):
                raise InputError(f"'{key}' holds {shape[0]} videos, '{videos[0]}' holds {videos[1]}")
            videos = videos or (key, shape[0])

    def how_to_call(self) -> str:
        """Every input of the model by name, as it may be typed."""
        names = ", ".join(
            f"{name}=..., [{name}_mask=...]" if entry.has_frames else f"{name}=..."
            for name, entry in self.inputs.items()
        )
        return f"call it as module({names}), or with a dictionary of these"


def _may_be_equal(one: Any, other: Any) -> bool:
    """False where two sides are known and differ."""
    return type(one) is not int or type(other) is not int or one < 0 or other < 0 or one == other
