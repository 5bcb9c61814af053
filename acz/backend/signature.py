"""Inputs and output of an artefact, under the same names in every format."""

from __future__ import annotations

import json
from dataclasses import dataclass

from acz.foundation.errors import SpecError
from acz.model.spec import Spec

OUTPUT = "output"
"""The one output of every artefact: float32 (videos, classes), the spec's output."""


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


def ports(spec: Spec) -> tuple[Port, ...]:
    """Inputs in the artefact's order: every input of the spec, each framed one followed by its mask, which must be given.

    Raises SpecError where an input has the name of another's mask.
    """
    found: list[Port] = []
    for name, entry in spec.inputs.items():
        if entry.has_frames:
            found.append(Port(name, name, (None, None, entry.resolve()[1]), entry.dtype))
            found.append(Port(f"{name}_mask", f"{name}.mask", (None, None), "bool"))
        else:
            found.append(Port(name, name, (None, *entry.resolve()), entry.dtype))
    names = [port.name for port in found]
    for name in (*names, OUTPUT):
        if names.count(name) + (name == OUTPUT) > 1:
            raise SpecError(f"the input '{name}' can't be exported: an artefact uses the name itself; rename it")
    return tuple(found)


def metadata(spec: Spec) -> dict[str, str]:
    """The texts that every artefact carries: the spec and its hash."""
    return {"acz.spec": json.dumps(spec.to_dict()), "acz.spec_hash": spec.hash}
