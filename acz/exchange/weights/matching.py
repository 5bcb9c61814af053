"""Names of another system beside paths of a spec: how an array becomes a parameter, and what fits.

A new system is one file in `systems/` with a `System`; its `table` gives the entries for a spec.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from acz.foundation.arrays import Array, Shape
from acz.foundation.errors import CheckpointError, DataError, SpecError
from acz.model.spec import Spec

Turn = Callable[[Array], Array]

MOST_LINES = 400
"""The most lines of a listing. A file of another system can hold any number of names."""


class DoesNotFit(CheckpointError):
    """A file and a model differ; the message lists where."""

    lines = True


def as_is(value: Array) -> Array:
    return value


def transposed(value: Array) -> Array:
    """(out, in) to the spec's (in, out)."""
    return value.T if value.ndim == 2 else value


def pointwise(value: Array) -> Array:
    """A convolution of size 1, (out, in, 1) or (out, in, 1, 1), to the dense (in, out) that it is."""
    return value.reshape(value.shape[:2]).T if value.ndim > 2 and set(value.shape[2:]) == {1} else value


@dataclass(frozen=True)
class Entry:
    """One parameter of the spec and where a system keeps it."""

    path: str
    names: tuple[str, ...]
    """The system's names of it. The first that a file has counts."""
    turn: Turn = as_is
    factor: float = 1.0
    """Multiplied in, for what the system multiplies elsewhere."""
    batch_power: float = 0.0
    """The factor holds this power of the number of videos in a batch too, where the system's function depends on that."""
    absent: float | None = None
    """The value of every element where the system has no such parameter."""
    note: str = ""
    """Said where factor or absent is used."""


@dataclass(frozen=True)
class System:
    """Another system: its tables and the ways of its files."""

    name: str
    about: str
    kinds: tuple[str, ...]
    """The kinds of its files, as `readers.kinds` names them."""
    table: Callable[[Spec], list[Entry]]
    """The entries for a spec. Raises SpecError where the spec is not one of its models."""
    is_optimizer: Callable[[str], bool] = lambda name: False
    """Tells whether a name in a file is the optimiser's."""
    optimizer: Callable[[Spec, Match, Mapping[str, Array]], dict[str, Array] | str] = lambda spec, match, arrays: (
        "their meaning here is not settled"
    )
    """Adam's state from the optimiser's arrays, or why it is left out."""
    name_arrays: Callable[[Sequence[Array], list[Entry]], dict[str, Array]] | None = None
    """Names for a file that holds none. Raises DataError."""
    settings: Callable[[Spec, Mapping[str, Array]], dict[str, object]] = lambda spec, arrays: {}
    """Settings that names in a file give away, by their dotted path."""
    otherwise: Callable[[Spec, Mapping[str, Array]], dict[str, str]] = lambda spec, arrays: {}
    """Layers of a spec, by path, that the system, or this file of it, has in another form, and which form."""
    gather: Callable[[Mapping[str, Array]], Mapping[str, Array]] = lambda arrays: arrays
    """Arrays that are one parameter together, as one under a name of their own; the rest as it is."""
    notes: Callable[[Mapping[str, Array]], list[str]] = lambda arrays: []
    """Remarks about a file's arrays, for the person who converts."""


@dataclass
class Match:
    """The match of a file with a spec. `found` maps paths to arrays in the spec's layout; the rest are sorted by what is wrong."""

    found: dict[str, Array] = field(default_factory=dict)
    names: dict[str, tuple[str, Turn, float]] = field(default_factory=dict)
    """The file's name of each found path, and the way in which its array was turned."""
    missing: list[str] = field(default_factory=list)
    wrong: dict[str, tuple[str, Shape, Shape]] = field(default_factory=dict)
    """Paths with another shape: the file's name, the shape there (in the spec's layout) and the spec's."""
    left_over: dict[str, Shape] = field(default_factory=dict)
    otherwise: dict[str, str] = field(default_factory=dict)
    """Layers that the system has in another form, and which: the weights would give something else."""
    notes: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        return not (self.missing or self.wrong or self.left_over or self.otherwise)


def for_batches(system: System, entries: list[Entry], videos: int | None) -> tuple[list[Entry], list[str]]:
    """The entries for batches of a size (None: one video), and the remarks on it.

    Raises:
        SpecError: the size of the batch has no meaning for the system.
    """
    if not any(entry.batch_power for entry in entries):
        if videos is not None:
            raise SpecError(f"--batch-size: what '{system.name}' computes does not depend on it; leave it out")
        return entries, []
    ready = [replace(entry, factor=entry.factor * (videos or 1) ** entry.batch_power) for entry in entries]
    if videos is not None:
        return ready, []
    return ready, [
        f"what '{system.name}' computes for a video depends on how many are in its batch: this is what it computes for one alone; "
        "--batch-size N makes it that for batches of N, and a network that was trained on batches of N needs that"
    ]


def match(spec: Spec, entries: list[Entry], arrays: Mapping[str, Array]) -> Match:
    """Sort the arrays of a file by the entries; nothing is judged yet. Raises DataError where one is not of numbers."""
    result = Match()
    used = set()
    for entry in entries:
        want = spec.parameters[entry.path].shape
        name = next((name for name in entry.names if name in arrays), None)
        if name is None and entry.absent is not None:
            result.found[entry.path] = np.full(want, entry.absent, np.float32)
            result.notes.append(entry.note)
            continue
        if name is None:
            result.missing.append(entry.path)
            continue
        used.add(name)
        value = entry.turn(arrays[name])
        if value.shape != want:
            result.wrong[entry.path] = (name, value.shape, want)
            continue
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise DataError(
                f"'{name}' holds {value.dtype if value.dtype.kind != 'f' else 'NaN or infinity'}, no weights"
            )
        result.found[entry.path] = np.ascontiguousarray(value, np.float32) * np.float32(entry.factor)
        result.names[entry.path] = (name, entry.turn, entry.factor)
        if entry.factor != 1.0:
            result.notes.append(entry.note)
        if value.dtype.itemsize > 4:
            result.notes.append(f"its {value.dtype} weights are rounded to float32")
    result.left_over = {name: value.shape for name, value in arrays.items() if name not in used}
    result.notes = list(dict.fromkeys(result.notes))
    return result


def allow(result: Match, patterns: Sequence[str]) -> list[str]:
    """Take what is allowed by name, the file's or the spec's, out of what does not fit; gives the paths that have no value then.

    Raises CheckpointError for a pattern that names nothing: it is a mistake, or not needed.
    """
    without: list[str] = []
    for pattern in patterns:
        missing = fnmatch.filter(result.missing, pattern)
        wrong = [path for path, (name, _, _) in result.wrong.items() if _either(path, name, pattern)]
        left_over = fnmatch.filter(result.left_over, pattern)
        otherwise = fnmatch.filter(result.otherwise, pattern)
        if not (missing or wrong or left_over or otherwise):
            raise CheckpointError(
                f"--allow '{pattern}' names nothing that is missing, left over, of another shape or formula"
            )
        result.notes += [f"{path}: {result.otherwise.pop(path)}" for path in otherwise]
        without += missing + wrong
        result.missing = [path for path in result.missing if path not in missing]
        result.wrong = {path: value for path, value in result.wrong.items() if path not in wrong}
        result.left_over = {name: shape for name, shape in result.left_over.items() if name not in left_over}
    return without


def _either(path: str, name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(name, pattern)


def listing(result: Match, entries: list[Entry], spec: Spec) -> str:
    """Everything that does not fit, a line each."""
    names = {entry.path: entry.names[0] for entry in entries}
    lines = [
        f"  shape: {name} is {path}: {there} in the file, {here} in the model"
        for path, (name, there, here) in result.wrong.items()
    ]
    lines += [
        f"  missing in the file: {names[path]}, which is {path} {spec.parameters[path].shape}"
        for path in result.missing
    ]
    lines += [f"  left over in the file: {name} {shape}" for name, shape in result.left_over.items()]
    lines += [f"  another formula: {path}: {what}" for path, what in result.otherwise.items()]
    shown = [line.replace("\n", "\\n") for line in lines[:MOST_LINES]]
    more = [f"  and {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
    return "\n".join(shown + more)
