"""Inputs and output of an artefact, under the same names in every format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from acz.foundation.errors import SpecError
from acz.model.spec import Spec

OUTPUT = "output"
"""The one output of every artefact: float32 (videos, classes), the spec's output."""
Weights = Literal["float32", "float16", "uint8", "int8"]
Masks = Literal["bool", "uint8", "none"]


@dataclass(frozen=True)
class Form:
    """The form in which an artefact holds a model. Inputs, arithmetic and output are float32 in all of them."""

    weights: Weights = "float32"
    """The type in which large weights are stored. `uint8`: codes of 256 values, a table for each array. `int8`: one scale for each unit; the runtime also rounds what it
    multiplies them with to 8 bits, row by row (dynamic range quantisation)."""
    masks: Masks = "bool"
    """The type of the mask inputs: `uint8` for runtimes without booleans, any number but 0 is valid; `none` for an
    artefact without them, which takes videos of one length."""

    @property
    def changes(self) -> dict[str, str]:
        """The settings that are not the default, by name."""
        settings = {"weights": self.weights, "masks": self.masks}
        return {name: value for name, value in settings.items() if value != getattr(PLAIN, name)}

    @classmethod
    def of(cls, weights: str = "float32", masks: str = "bool") -> Form:
        """A form of words that a user typed, or that an artefact carries.

        Raises:
            SpecError: a word is unknown.
        """
        for option, word, kinds in (("weights", weights, Weights), ("masks", masks, Masks)):
            if word not in get_args(kinds):
                raise SpecError(f"{option} must be one of {', '.join(get_args(kinds))}, got '{word}'")
        return cls(weights, masks)  # type: ignore[arg-type]


PLAIN = Form()


@dataclass(frozen=True)
class Port:
    """One input of an artefact.

    `name` is what the artefact calls it, an identifier in every runtime: the spec's input, and `<input>_mask` for its valid
    frames. `key` is what the core calls it: the input, or `<input>.mask`. `shape` starts with the axis of videos; None is an axis of any size.
    """

    name: str
    key: str
    shape: tuple[int | None, ...]
    dtype: str
    """`float32`, `uint8` or, for a mask, `bool`."""

    @property
    def is_mask(self) -> bool:
        """True for an input that says which frames are valid."""
        return self.name != self.key


def ports(spec: Spec, masks: str = "bool") -> tuple[Port, ...]:
    """Inputs in the artefact's order: every input of the spec, each framed one followed by its mask, which must be given.

    Args:
        spec: the model.
        masks: as in Form.

    Raises:
        SpecError: an input has the name of another's mask.
    """
    found: list[Port] = []
    for name, entry in spec.inputs.items():
        if entry.has_frames:
            found.append(Port(name, name, (None, None, entry.resolve()[1]), entry.dtype))
            if masks != "none":
                found.append(Port(f"{name}_mask", f"{name}.mask", (None, None), masks))
        else:
            found.append(Port(name, name, (None, *entry.resolve()), entry.dtype))
    names = [port.name for port in found]
    for name in (*names, OUTPUT):
        if names.count(name) + (name == OUTPUT) > 1:
            raise SpecError(f"the input '{name}' can't be exported: an artefact uses the name itself; rename it")
    return tuple(found)


def metadata(spec: Spec, form: Form = PLAIN) -> dict[str, str]:
    """The texts that every artefact carries: the spec and its hash; and the form, where it is not the default."""
    changes = {f"acz.{name}": value for name, value in form.changes.items()}
    return {"acz.spec": json.dumps(spec.to_dict()), "acz.spec_hash": spec.hash, **changes}


def form_of(metadata: Mapping[str, str]) -> Form:
    """The form that an artefact's texts tell."""
    return Form.of(**{name: metadata[f"acz.{name}"] for name in ("weights", "masks") if f"acz.{name}" in metadata})
