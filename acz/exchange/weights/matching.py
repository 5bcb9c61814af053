"""Names in a file beside paths of a spec: how an array becomes a parameter, what fits, and what is allowed not to fit.

A new system is one file in `systems/` with a `System`; its `table` gives the entries for a spec.
"""

from __future__ import annotations

import fnmatch
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
    """Return an array unchanged."""
    return value


def transposed(value: Array) -> Array:
    """Turn (out, in) into the spec's (in, out). Other arrays are returned unchanged."""
    return value.T if value.ndim == 2 else value


def pointwise(value: Array) -> Array:
    """Turn a convolution of size 1, (out, in, 1) or (out, in, 1, 1), into the dense (in, out) that it is."""
    return value.reshape(value.shape[:2]).T if value.ndim > 2 and set(value.shape[2:]) == {1} else value


@dataclass(frozen=True)
class Entry:
    """One parameter of the spec, and the array of a file that holds it."""

    path: str
    names: tuple[str, ...]
    """The system's names of it. The first that a file has counts."""
    turn: Turn = as_is
    factor: float = 1.0
    """The array is multiplied by it, because the system multiplies elsewhere."""
    batch_power: float = 0.0
    """The factor also has this power of the number of videos in a batch, where the system's function depends on it."""
    absent: float | Array | None = None
    """The values where the system has no such parameter: a number for every element, or an array."""
    note: str = ""
    """The remark for the person who converts, where `factor` or `absent` is used."""


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
    candidates: Callable[[Mapping[str, Array]], list[tuple[str, dict[str, Any]]]] = lambda arrays: []
    """Models of the zoo, with changes by dotted path, that a file may be of. Sizes may still be others.

    The argument has the file's arrays without the optimiser's, or nothing where the file has no names.
    """
    otherwise: Callable[[Spec, Mapping[str, Array]], dict[str, str]] = lambda spec, arrays: {}
    """Layers of a spec, by path, that the system, or this file of it, has in another form, and which form."""
    gather: Callable[[Mapping[str, Array]], Mapping[str, Array]] = lambda arrays: arrays
    """Arrays that are one parameter together, as one under a name of their own; the rest as it is."""
    notes: Callable[[Mapping[str, Array]], list[str]] = lambda arrays: []
    """Remarks about a file's arrays, for the person who converts."""


@dataclass
class Match:
    """The match of a file with a spec: the arrays that fit, and the names that do not, by the kind of the misfit."""

    parameters: dict[str, Array] = field(default_factory=dict)
    """Arrays in the spec's layout by path."""
    names: dict[str, tuple[str, Turn, float]] = field(default_factory=dict)
    """The file's name of each array in `parameters`, how the array was turned, and its factor."""
    missing: list[str] = field(default_factory=list)
    """Paths without an array in the file."""
    wrong: dict[str, tuple[str, Shape, Shape]] = field(default_factory=dict)
    """Paths with another shape: the file's name, the shape there (in the spec's layout) and the spec's."""
    left_over: dict[str, Shape] = field(default_factory=dict)
    """Names in the file that are no parameter of the spec, with their shapes."""
    otherwise: dict[str, str] = field(default_factory=dict)
    """Layers that the system has in another form, and which form: the weights would give something else."""
    notes: list[str] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """True where nothing is missing, left over, or of another shape or formula."""
        return not (self.missing or self.wrong or self.left_over or self.otherwise)


def for_batches(system: System, entries: list[Entry], videos: int | None) -> tuple[list[Entry], list[str]]:
    """Prepare entries for batches of a size.

    Args:
        system: the system of the entries.
        entries: its table for a spec.
        videos: the number of videos in a batch. None: one video.

    Returns:
        The entries with their factors, and remarks for the person who converts.

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
    """Sort the arrays of a file by the entries of a spec. Nothing is refused yet.

    Args:
        spec: the model.
        entries: one for each parameter of the model.
        arrays: the arrays of the file by name.

    Returns:
        The arrays that fit, in float32 and in the spec's layout, and the names that do not fit.

    Raises:
        DataError: an array that fits does not hold finite numbers of floating point.
    """
    matched = Match()
    used = set()
    for entry in entries:
        shape = spec.parameters[entry.path].shape
        name = next((name for name in entry.names if name in arrays), None)
        if name is None and entry.absent is not None:
            matched.parameters[entry.path] = np.full(shape, entry.absent, np.float32)
            matched.notes.append(entry.note)
            continue
        if name is None:
            matched.missing.append(entry.path)
            continue
        used.add(name)
        value = entry.turn(arrays[name])
        if value.shape != shape:
            matched.wrong[entry.path] = (name, value.shape, shape)
            continue
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise DataError(
                f"'{name}' holds {value.dtype if value.dtype.kind != 'f' else 'NaN or infinity'}, no weights"
            )
        matched.parameters[entry.path] = np.ascontiguousarray(value, np.float32) * np.float32(entry.factor)
        matched.names[entry.path] = (name, entry.turn, entry.factor)
        if entry.factor != 1.0:
            matched.notes.append(entry.note)
        if value.dtype.itemsize > 4:
            matched.notes.append(f"its {value.dtype} weights are rounded to float32")
    matched.left_over = {name: value.shape for name, value in arrays.items() if name not in used}
    matched.notes = list(dict.fromkeys(matched.notes))
    return matched


def allow(matched: Match, patterns: Sequence[str]) -> list[str]:
    """Remove from a match the misfits that are allowed.

    Args:
        matched: the match. It changes in place.
        patterns: names of the file or paths of the spec. They may have wildcards.

    Returns:
        Paths that have no value now.

    Raises:
        CheckpointError: a pattern names no misfit, so that it is a mistake or not needed.
    """
    without: list[str] = []
    for pattern in patterns:
        missing = fnmatch.filter(matched.missing, pattern)
        wrong = [path for path, (name, _, _) in matched.wrong.items() if fnmatch.filter((path, name), pattern)]
        left_over = fnmatch.filter(matched.left_over, pattern)
        otherwise = fnmatch.filter(matched.otherwise, pattern)
        if not (missing or wrong or left_over or otherwise):
            raise CheckpointError(
                f"--allow '{pattern}' names nothing that is missing, left over, of another shape or formula"
            )
        matched.notes += [f"{path}: {matched.otherwise.pop(path)}" for path in otherwise]
        without += missing + wrong
        matched.missing = [path for path in matched.missing if path not in missing]
        matched.wrong = {path: value for path, value in matched.wrong.items() if path not in wrong}
        matched.left_over = {name: shape for name, shape in matched.left_over.items() if name not in left_over}
    return without


def refusal(source: str, matched: Match, entries: list[Entry], spec: Spec, changes: Mapping[str, Any]) -> DoesNotFit:
    """Make the error that lists every misfit.

    Args:
        source: the file, for the first line.
        matched: the match, without what is allowed.
        entries: the entries that were matched.
        spec: the model.
        changes: settings under which the file fits, by dotted path. Empty: they are not known.
    """
    counts = (
        f"{len(matched.wrong)} of another shape, {len(matched.missing)} missing, {len(matched.left_over)} left over"
    )
    counts += f", {len(matched.otherwise)} of another formula" if matched.otherwise else ""
    end = "  --allow NAME lets one of these pass; wildcards work"
    if changes:
        formulas = "; --allow NAME lets another formula pass" if matched.otherwise else ""
        end = f"  with these words {'the shapes fit' if formulas else 'it fits'}: {as_words(changes)}{formulas}"
    return DoesNotFit(f"{source} does not fit the model: {counts}\n{_listing(matched, entries, spec)}\n{end}")


def as_words(changes: Mapping[str, Any]) -> str:
    """The `--set` words that make changes, as a user types them in a shell."""
    return " ".join(f"--set {shlex.quote(f'{key}={_as_yaml(value)}')}" for key, value in changes.items())


def _as_yaml(value: Any) -> str:
    """A value as YAML on one line."""
    return "null" if value is None else json.dumps(value) if isinstance(value, dict | list) else str(value)


def _listing(matched: Match, entries: list[Entry], spec: Spec) -> str:
    """Every misfit, a line each, and at most MOST_LINES of them."""
    names = {entry.path: entry.names[0] for entry in entries}

    def both(name: str, path: str, between: str) -> str:
        return path if name == path else f"{name}{between} is {path}"

    lines = [
        f"  shape: {both(name, path, '')}: {in_file} in the file, {in_model} in the model"
        for path, (name, in_file, in_model) in matched.wrong.items()
    ]
    lines += [
        f"  missing in the file: {both(names[path], path, ', which')} {spec.parameters[path].shape}"
        for path in matched.missing
    ]
    lines += [f"  left over in the file: {name} {shape}" for name, shape in matched.left_over.items()]
    lines += [f"  another formula: {path}: {formula}" for path, formula in matched.otherwise.items()]
    shown = [line.replace("\n", "\\n") for line in lines[:MOST_LINES]]
    more = [f"  and {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
    return "\n".join(shown + more)
