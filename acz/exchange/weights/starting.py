"""The starting values of a model from the checkpoint of another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acz.exchange.weights.matching import allow, match, refusal
from acz.exchange.weights.systems.own import OWN
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.checkpoint import Checkpoint
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec


@dataclass(frozen=True)
class Taken:
    """A model's starting values, and what of them is from a checkpoint."""

    parameters: dict[str, Array]
    taken: tuple[str, ...]
    """Paths with the checkpoint's values."""
    new: tuple[str, ...]
    """Paths with their own starting values."""
    left_out: tuple[str, ...]
    """Arrays of the checkpoint that were not taken."""


def take(checkpoint: Checkpoint, path: Path, spec: Spec, allowed: Sequence[str], seed: int) -> Taken:
    """Take the arrays of a checkpoint that have the path and the shape of a model's parameter.

    Args:
        checkpoint: the checkpoint. Its optimiser is not taken.
        path: its file, for errors.
        spec: the model that starts from it.
        allowed: patterns of the paths that may be missing, left over, or of another shape.
        seed: the seed of the starting values of the others.

    Raises:
        DoesNotFit: something is missing, left over or of another shape, and not allowed. Everything is listed.
        CheckpointError: a pattern of `allowed` is not needed.
        DataError: a value is not finite.
    """
    entries = OWN.table(spec)
    try:
        matched = match(spec, entries, checkpoint.parameters)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    new = allow(matched, allowed)
    if not matched.fits:
        raise refusal(str(path), matched, entries, spec, {})
    taken = matched.parameters
    parameters = {name: taken.get(name, value) for name, value in initial_parameters(spec, seed).items()}
    left_out = tuple(name for name in checkpoint.spec.parameters if name not in taken)
    return Taken(parameters, tuple(taken), tuple(name for name in spec.parameters if name in new), left_out)
