"""A file of another system to a checkpoint of a spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acz.backend.registry import native_formats
from acz.exchange.weights.finding import find_model, named_arrays, parameters_of
from acz.exchange.weights.matching import Match, System, allow, for_batches, match, refusal
from acz.exchange.weights.readers.contents import Contents
from acz.exchange.weights.readers.kinds import file_kind, read
from acz.exchange.weights.suggestion import suggestion
from acz.exchange.weights.systems import SYSTEMS
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError, nearest
from acz.foundation.files.hashing import contents_hash
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.zoo.config import load_config

SEED = 0
"""The seed of the starting values of parameters that were allowed to be missing."""


@dataclass
class Converted:
    """The result of a conversion."""

    system: str
    guessed: bool
    """True where the system was recognised from the file."""
    spec: Spec
    parameters: dict[str, Array]
    optimizer: dict[str, Array]
    notes: list[str] = field(default_factory=list)
    """Remarks for the person who converts."""
    model: str = ""
    """The options that name the model, where it was found from the file."""


def convert(
    path: Path,
    respecify: Callable[[Mapping[str, Any]], Spec] | None,
    out: Path,
    system: str | None = None,
    allowed: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    batch_size: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Converted:
    """Read a file, fit it to a model, and write a checkpoint.

    Args:
        path: the file.
        respecify: gives the model with settings changed, by dotted path. None: the model is found from the file.
        out: the checkpoint.
        system: the system of the file. None: it is recognised from the file, if only one fits.
        allowed: patterns of names that need not fit.
        progress: told what is being done, and which step of how many it is.
        batch_size: the number of videos in a batch of the system, where its function depends on it.
        overrides: changes by dotted path of a model that is found from the file.
        key: the key that holds the weights, in a file of dictionaries. None: the usual one.

    Raises:
        DataError: the file is missing or damaged.
        SpecError: the model or the system is not known, or does not belong to the file.
        DoesNotFit: names or shapes do not fit and are not allowed. Everything is listed.
        MissingError: a framework that must read the file is not installed.
    """
    spec = respecify({}) if respecify else None
    if system is not None and system not in SYSTEMS:
        raise SpecError(f"there is no system '{system}'; {nearest(system, SYSTEMS)}")
    kind = file_kind(path)
    if kind == "acz":
        raise DataError(f"{path} is a checkpoint of acz already; --to writes it as {', '.join(native_formats())}")
    if system is not None and kind not in SYSTEMS[system].kinds:
        fitting = [name for name, other in SYSTEMS.items() if kind in other.kinds]
        raise SpecError(f"{path} is a file of {kind}, which '{system}' has not; --from {' or '.join(fitting)}")
    progress(f"reading {path.name}", 0, 3)
    contents = read(path, kind, key)
    if out.resolve() in [file.resolve() for file in (path, *contents.files)]:
        raise SpecError(f"--out {out} is the file that is read; take another")
    progress("fitting it to the model", 1, 3)
    words = ""
    if respecify is None or spec is None:
        candidate = find_model(path, kind, contents, system, overrides or {}, allowed)
        chosen, spec, words = candidate.system, candidate.spec, candidate.words

        def respecify(more: Mapping[str, Any]) -> Spec:
            return load_config(candidate.model, {**candidate.changes, **(overrides or {}), **more}).spec

    else:
        chosen = SYSTEMS[system] if system else _guess(path, kind, contents, spec)
    try:
        converted = _fit(path, chosen, contents, spec, respecify, allowed, batch_size)
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    converted.guessed, converted.model = system is None, words
    progress(f"writing {out.name}", 2, 3)
    source = {
        "system": chosen.name,
        "file": contents.name or path.name,
        "sha256": contents_hash(contents.files or _files(path)),
        **({"batch_size": batch_size} if batch_size else {}),
    }
    save_checkpoint(out, converted.spec, converted.parameters, converted.optimizer, {"converted_from": source})
    return converted


def _guess(path: Path, kind: str, contents: Contents, spec: Spec) -> System:
    """Find the one system of this kind of file whose table has most of the file's names.

    Raises:
        SpecError: there is no such system, or there are several.
    """
    hits: dict[str, int] = {}
    for name, system in SYSTEMS.items():
        if kind not in system.kinds or (contents.unnamed and system.name_arrays is None):
            continue
        try:
            entries = system.table(spec)
        except SpecError:
            continue
        names = {entry_name for entry in entries for entry_name in entry.names}
        hits[name] = len(names & set(system.gather(contents.named))) + bool(contents.unnamed)
    best = [name for name, count in hits.items() if count and count == max(hits.values())]
    if len(best) == 1:
        return SYSTEMS[best[0]]
    fitting = " or ".join(f"--from {name}" for name, system in SYSTEMS.items() if kind in system.kinds)
    some = ", ".join(list(contents.named)[:4])
    raise SpecError(
        f"{path}: its names do not show which system it comes from ({some or 'it has none'}) and this model; say {fitting}"
    )


def _fit(
    path: Path,
    system: System,
    contents: Contents,
    spec: Spec,
    respecify: Callable[[Mapping[str, Any]], Spec],
    allowed: Sequence[str],
    batch_size: int | None,
) -> Converted:
    """Fit the arrays of a file to a spec. The arguments are those of `convert`.

    Raises:
        DataError: an array holds no weights.
        DoesNotFit: names or shapes do not fit and are not allowed.
    """
    entries, notes = for_batches(system, system.table(spec), batch_size)
    named = named_arrays(system, contents, spec)
    arrays = parameters_of(system, named)
    matched = match(spec, entries, arrays)
    matched.otherwise = system.otherwise(spec, arrays)
    without = allow(matched, allowed)
    if not matched.fits:
        changes = suggestion(system, spec, arrays, respecify)
        raise refusal(f"{path} ({system.name})", matched, entries, spec, changes)
    notes = [*contents.notes, *matched.notes, *notes, *system.notes(arrays)]
    if without:
        start = initial_parameters(spec, SEED)
        matched.parameters |= {name: start[name] for name in without}
        notes.append(f"starting values of seed {SEED}, as was allowed: {', '.join(without)}")
    state = {name: value for name, value in named.items() if system.is_optimizer(name)}
    optimizer, note = _optimizer(system, spec, matched, state)
    notes += [note] if note else []
    parameters = {name: matched.parameters[name] for name in spec.parameters}
    return Converted(system.name, False, spec, parameters, optimizer, notes)


def _optimizer(system: System, spec: Spec, matched: Match, state: Mapping[str, Array]) -> tuple[dict[str, Array], str]:
    """Adam's state, and a remark about it."""
    if not state:
        return {}, ""
    kept = system.optimizer(spec, matched, state)
    if isinstance(kept, str):
        count = "1 entry of the optimiser is" if len(state) == 1 else f"{len(state)} entries of the optimiser are"
        return {}, f"{count} left out: {kept}"
    return kept, f"{len(state)} entries of the optimiser: Adam's moments and step {int(kept['step'])} are kept"


def _files(path: Path) -> list[Path]:
    """A file itself, or a folder's files in the order of their names."""
    return [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path]
