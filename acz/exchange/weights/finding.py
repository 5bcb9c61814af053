"""The model of a file, found from the names and shapes in it among the models of the zoo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.exchange.weights.matching import System, allow, as_words, match
from acz.exchange.weights.readers.contents import Contents
from acz.exchange.weights.suggestion import likely_changes
from acz.exchange.weights.systems import SYSTEMS
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError, DataError, SpecError
from acz.model.spec import Spec
from acz.zoo.config import load_config


class SeveralFit(SpecError):
    """A file fits several models. The message lists the words that choose one of them."""

    lines = True


@dataclass(frozen=True)
class Candidate:
    """A model that a file fits."""

    system: System
    model: str
    """The name in the zoo."""
    changes: dict[str, Any]
    """Values of the configuration by dotted path."""
    spec: Spec

    @property
    def words(self) -> str:
        """The options that name the model, as a user types them."""
        return f"--model {self.model} {as_words(self.changes)}".rstrip()


def find_model(
    path: Path,
    kind: str,
    contents: Contents,
    system: str | None,
    overrides: Mapping[str, Any],
    allowed: Sequence[str],
) -> Candidate:
    """Find the model of the zoo that a file fits.

    Args:
        path: the file.
        kind: its kind.
        contents: its arrays.
        system: the name of its system. None: every system with files of this kind.
        overrides: the user's changes by dotted path, which every candidate has too.
        allowed: patterns of names that need not fit.

    Raises:
        SpecError: no model fits. The message says why.
        SeveralFit: several models fit.
    """
    systems = [SYSTEMS[system]] if system else [each for each in SYSTEMS.values() if kind in each.kinds]
    fitting: dict[str, Candidate] = {}
    reasons: list[str] = []
    for each in systems:
        for candidate in _candidates(each, contents, overrides, allowed, reasons):
            known = fitting.get(candidate.spec.hash)
            if known is None or len(candidate.changes) < len(known.changes):
                fitting[candidate.spec.hash] = candidate
    unchanged = [candidate for candidate in fitting.values() if not candidate.changes]
    chosen = unchanged or list(fitting.values())
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        lines = "\n".join(f"  {words}" for words in _distinguishing_words(chosen))
        raise SeveralFit(f"{path} fits several models; add the words of one of them:\n{lines}")
    names = ", ".join(list(contents.named)[:4]) or "it has none"
    why = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
    raise SpecError(
        f"{path}: its names ({names}) and shapes are those of no model of the zoo{why}; give --model, then the command "
        "lists what does not fit"
    )


def _distinguishing_words(candidates: Sequence[Candidate]) -> list[str]:
    """The words that choose each of the candidates: changes that not all of them have, or else the whole model."""
    if len({(candidate.system.name, candidate.model) for candidate in candidates}) > 1:
        return [f"--from {candidate.system.name} {candidate.words}" for candidate in candidates]
    first, *others = (candidate.changes for candidate in candidates)
    shared = {key for key, value in first.items() if all(other.get(key, ...) == value for other in others)}
    return [
        as_words({key: value for key, value in candidate.changes.items() if key not in shared})
        for candidate in candidates
    ]


def _candidates(
    system: System, contents: Contents, overrides: Mapping[str, Any], allowed: Sequence[str], reasons: list[str]
) -> Iterator[Candidate]:
    """The models that fit the file as one of a system. `reasons` receives the reason why another does not."""
    if contents.unnamed and system.name_arrays is None:
        return
    for model, structure in system.candidates(parameters_of(system, contents.named)):

        def respecify(more: Mapping[str, Any], model: str = model, structure: Mapping[str, Any] = structure) -> Spec:
            return load_config(model, {**structure, **more, **overrides}).spec

        try:
            spec = respecify({})
            arrays = parameters_of(system, named_arrays(system, contents, spec))
            sizes = likely_changes(system, spec, arrays, respecify)
            spec = respecify(sizes)
            matched = match(spec, system.table(spec), arrays)
            matched.otherwise = system.otherwise(spec, arrays)
            allow(matched, allowed)
        except AczError as error:
            reasons.append(f"{model}: {error}")
            continue
        if matched.fits:
            yield Candidate(system, model, {**structure, **sizes}, spec)
        else:
            misfits = [*matched.missing, *matched.wrong, *matched.left_over, *matched.otherwise]
            reasons.append(f"{model}: {misfits[0]} does not fit")


def named_arrays(system: System, contents: Contents, spec: Spec) -> dict[str, Array]:
    """The arrays of a file by name. Where the file has no names, the system names them for a spec.

    Raises:
        DataError: the system can't name them.
    """
    if not contents.unnamed:
        return contents.named
    if system.name_arrays is None:
        raise DataError(f"holds arrays without names, which '{system.name}' can't tell apart")
    return system.name_arrays(contents.unnamed, system.table(spec))


def parameters_of(system: System, named: Mapping[str, Array]) -> Mapping[str, Array]:
    """The arrays of a file without the optimiser's. Parts of one parameter are joined."""
    return system.gather({name: value for name, value in named.items() if not system.is_optimizer(name)})
