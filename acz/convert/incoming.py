"""A file of another system to a checkpoint of a spec."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acz.checkpoint import save_checkpoint
from acz.config import Config, load_config
from acz.convert.files import Contents, file_kind, read
from acz.convert.sizes import suggestion
from acz.convert.systems import SYSTEMS
from acz.convert.table import DoesNotFit, Entry, Match, System, allow, listing, match
from acz.errors import DataError, SpecError, nearest
from acz.layers import Array
from acz.reference import initial_parameters
from acz.spec import Spec

SEED = 0
"""Of the starting values that stand where a parameter was allowed to be missing."""


@dataclass
class Converted:
    """What a conversion did. `notes` are for the person who asked for it."""

    system: str
    guessed: bool
    spec: Spec
    parameters: dict[str, Array]
    optimizer: dict[str, Array]
    notes: list[str] = field(default_factory=list)


def convert(
    path: Path,
    model: str,
    overrides: Mapping[str, Any],
    out: Path,
    system: str | None = None,
    allowed: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Converted:
    """Read `path`, fit it to the configuration, and write the checkpoint `out`.

    Without `system` it is told from the file's kind and names, if only one fits. `progress` is told what is being done, and which step
    of how many it is.

    Raises DataError (the file), SpecError (the model or the system), DoesNotFit with every name and shape that does not fit
    and is not allowed, MissingError (a framework that must read the file).
    """
    config = load_config(model, overrides)
    if system is not None and system not in SYSTEMS:
        raise SpecError(f"there is no system '{system}'; {nearest(system, SYSTEMS)}")
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if out.resolve() == path.resolve():
        raise SpecError(f"--out {out} is the file that is read; take another")
    kind = file_kind(path)
    if kind == "acz":
        raise DataError(
            f"{path} is a checkpoint of acz already; --to torch, keras, paddle or mindspore writes it there"
        )
    if system is not None and kind not in SYSTEMS[system].kinds:
        fitting = [name for name, one in SYSTEMS.items() if kind in one.kinds]
        raise SpecError(f"{path} is a file of {kind}, which '{system}' has not; --from {' or '.join(fitting)}")
    progress(f"reading {path.name}", 0, 3)
    contents = read(path, kind)
    progress("fitting it to the model", 1, 3)
    chosen = SYSTEMS[system] if system else _guess(path, kind, contents, config.spec)
    try:
        done = _fit(path, chosen, contents, config, overrides, allowed)
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    done.guessed = system is None
    progress(f"writing {out.name}", 2, 3)
    source = {"system": chosen.name, "file": path.name, "sha256": _hash(path)}
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
        hits[name] = len(names & set(contents.named)) + bool(contents.unnamed)
    best = [name for name, count in hits.items() if count and count == max(hits.values())]
    if len(best) == 1:
        return SYSTEMS[best[0]]
    fitting = " or ".join(f"--from {name}" for name, system in SYSTEMS.items() if kind in system.kinds)
    some = ", ".join(list(contents.named)[:4])
    raise SpecError(
        f"{path}: which system it comes from can't be told from its names ({some or 'it has none'}) and this model; say {fitting}"
    )


def _fit(
    path: Path,
    system: System,
    contents: Contents,
    config: Config,
    overrides: Mapping[str, Any],
    allowed: Sequence[str],
) -> Converted:
    spec = config.spec
    entries = system.table(spec)
    named = _named(system, contents, entries)
    state = {name: value for name, value in named.items() if system.is_optimizer(name)}
    arrays = {name: value for name, value in named.items() if name not in state}
    result = match(spec, entries, arrays)
    without = allow(result, allowed)
    if not result.fits:
        changes = suggestion(
            system, spec, arrays, lambda changes: load_config(config.name, {**overrides, **changes}).spec
        )
        raise DoesNotFit(_refusal(path, system, result, entries, spec, changes))
    notes = list(result.notes)
    if without:
        start = initial_parameters(spec, SEED)
        result.found |= {name: start[name] for name in without}
        notes.append(f"starting values of seed {SEED}, as was allowed: {', '.join(without)}")
    optimizer, note = _optimizer(system, spec, result, state)
    notes += [note] if note else []
    parameters = {name: result.found[name] for name in spec.parameters}
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
        return {}, f"{len(state)} entries of the optimiser are left out: {kept}"
    return kept, f"{len(state)} entries of the optimiser: Adam's moments and step {int(kept['step'])} are kept"


def _refusal(
    path: Path,
    system: System,
    result: Match,
    entries: list[Entry],
    spec: Spec,
    changes: Mapping[str, Any],
) -> str:
    counts = f"{len(result.wrong)} of another shape, {len(result.missing)} missing, {len(result.left_over)} left over"
    end = "  --allow NAME lets one that is missing, left over or of another shape pass; wildcards work"
    if changes:
        words = " ".join(f"--set {key}={'null' if value is None else value}" for key, value in changes.items())
        end = f"  with these words it fits: {words}"
    return f"{path} ({system.name}) does not fit the model: {counts}\n{listing(result, entries, spec)}\n{end}"


def _hash(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files in the order of their names."""
    whole = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as content:
                while part := content.read(2**22):
                    whole.update(part)
    return whole.hexdigest()
