"""A file of another system to a checkpoint of a spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acz.backend.registry import native_formats
from acz.exchange.weights.matching import Entry, Match, System, allow, for_batches, match, refusal
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

SEED = 0
"""The seed of the starting values of parameters that were allowed to be missing."""


@dataclass
class Converted:
    """The result of a conversion. `notes` are for the person who asked for it."""

    system: str
    guessed: bool
    spec: Spec
    parameters: dict[str, Array]
    optimizer: dict[str, Array]
    notes: list[str] = field(default_factory=list)


def convert(
    path: Path,
    respecify: Callable[[Mapping[str, Any]], Spec],
    out: Path,
    system: str | None = None,
    allowed: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    batch_size: int | None = None,
) -> Converted:
    """Read `path`, fit it to a model, and write the checkpoint `out`. `respecify` gives the model with changed settings.

    Without `system` it is recognised from the file's kind and names, if only one fits. `progress` is told what is being done, and which step
    of how many it is. `batch_size` is that of the system's batches, in videos, where its function depends on it.

    Raises DataError (the file), SpecError (the model or the system), DoesNotFit with every name and shape that does not fit
    and is not allowed, MissingError (a framework that must read the file).
    """

    spec = respecify({})
    if system is not None and system not in SYSTEMS:
        raise SpecError(f"there is no system '{system}'; {nearest(system, SYSTEMS)}")
    kind = file_kind(path)
    if kind == "acz":
        raise DataError(f"{path} is a checkpoint of acz already; --to writes it as {', '.join(native_formats())}")
    if system is not None and kind not in SYSTEMS[system].kinds:
        fitting = [name for name, one in SYSTEMS.items() if kind in one.kinds]
        raise SpecError(f"{path} is a file of {kind}, which '{system}' has not; --from {' or '.join(fitting)}")
    progress(f"reading {path.name}", 0, 3)
    contents = read(path, kind)
    if out.resolve() in [file.resolve() for file in (path, *contents.files)]:
        raise SpecError(f"--out {out} is the file that is read; take another")
    progress("fitting it to the model", 1, 3)
    chosen = SYSTEMS[system] if system else _guess(path, kind, contents, spec)
    try:
        done = _fit(path, chosen, contents, spec, respecify, allowed, batch_size)
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    done.guessed = system is None
    progress(f"writing {out.name}", 2, 3)
    source = {
        "system": chosen.name,
        "file": contents.name or path.name,
        "sha256": contents_hash(contents.files or _files(path)),
        **({"batch_size": batch_size} if batch_size else {}),
    }
    save_checkpoint(out, done.spec, done.parameters, done.optimizer, {"converted_from": source})
    return done


def _guess(path: Path, kind: str, contents: Contents, spec: Spec) -> System:
    """The one system of this kind of file whose table finds most of the file's names."""
    hits: dict[str, int] = {}
    for name, system in SYSTEMS.items():
        if kind not in system.kinds or (contents.unnamed and system.name_arrays is None):
            continue
        try:
            entries = system.table(spec)
        except SpecError:
            continue
        names = {one for entry in entries for one in entry.names}
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
    entries, notes = for_batches(system, system.table(spec), batch_size)
    named = _named(system, contents, entries)
    state = {name: value for name, value in named.items() if system.is_optimizer(name)}
    arrays = system.gather({name: value for name, value in named.items() if name not in state})
    result = match(spec, entries, arrays)
    result.otherwise = system.otherwise(spec, arrays)
    without = allow(result, allowed)
    if not result.fits:
        changes = suggestion(system, spec, arrays, respecify)
        raise refusal(f"{path} ({system.name})", result, entries, spec, changes)
    notes = [*result.notes, *notes, *system.notes(arrays)]
    if without:
        start = initial_parameters(spec, SEED)
        result.parameters |= {name: start[name] for name in without}
        notes.append(f"starting values of seed {SEED}, as was allowed: {', '.join(without)}")
    optimizer, note = _optimizer(system, spec, result, state)
    notes += [note] if note else []
    parameters = {name: result.parameters[name] for name in spec.parameters}
    return Converted(system.name, False, spec, parameters, optimizer, notes)


def _named(system: System, contents: Contents, entries: list[Entry]) -> dict[str, Array]:
    if not contents.unnamed:
        return contents.named
    if system.name_arrays is None:
        raise DataError(f"holds arrays without names, which '{system.name}' can't tell apart")
    return system.name_arrays(contents.unnamed, entries)


def _optimizer(system: System, spec: Spec, result: Match, state: Mapping[str, Array]) -> tuple[dict[str, Array], str]:
    """Adam's state, and what is said of it."""
    if not state:
        return {}, ""
    kept = system.optimizer(spec, result, state)
    if isinstance(kept, str):
        count = "1 entry of the optimiser is" if len(state) == 1 else f"{len(state)} entries of the optimiser are"
        return {}, f"{count} left out: {kept}"
    return kept, f"{len(state)} entries of the optimiser: Adam's moments and step {int(kept['step'])} are kept"


def _files(path: Path) -> list[Path]:
    """A file itself, or a folder's files in the order of their names."""
    return [file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path]
