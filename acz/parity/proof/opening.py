"""The subject that a user names: a run, a checkpoint or a configuration, with the data that it is checked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from acz.data.registry import fingerprint, open_split, recognise
from acz.foundation.errors import DataError, SpecError
from acz.model.losses import LOSSES, checking_loss
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.parity.proof.subject import Subject, batch_of, batches_of, drawn_batch
from acz.reference.numpy_backend import MOST_PARAMETERS, NAME
from acz.training.run_folder import open_checkpoint
from acz.zoo.config import Config, load_config


@dataclass(frozen=True)
class Opened:
    """A subject, and the checkpoint that it is read from, if there is one."""

    subject: Subject
    checkpoint: Path | None


def is_trained(target: str | Path) -> bool:
    """True for the folder of a run, and for a checkpoint."""
    path = Path(target)
    return path.is_dir() or (path.is_file() and path.suffix not in (".yaml", ".yml"))


def open_subject(target: str | Path, data: Path | None, videos: int) -> Opened:
    """Open a model at its full size.

    Args:
        target: the folder of a run, a checkpoint, or a configuration, whose weights are its starting values.
        data: the data set; by default the run's. Without one, numbers are drawn.
        videos: the number of videos of the batch; a smaller data set gives fewer.

    Raises:
        CheckpointError, SpecError: there is no such model, or it is damaged.
        DataError: the data are missing, or not what the model reads.
    """
    run: dict[str, Any] | None = None
    checkpoint: Path | None = None
    config: Config | None
    if is_trained(target):
        stored, checkpoint, run = open_checkpoint(Path(target))
        spec, parameters = stored.spec, stored.parameters
        config = load_config(run["config"]) if run else None
        location = data or (Path(run["data"]) if run else None)
        name = str(run["name"]) if run else checkpoint.stem
    else:
        config = load_config(target)
        spec, location, name = config.spec, data, config.name
        parameters = initial_parameters(spec, config.recipe.seed)
    loss = (config.recipe.loss if config else None) or checking_loss(spec).name
    if location is None:
        identity, batch = "", drawn_batch(spec, loss, videos)
    else:
        identity = fingerprint(location)
        reading = config.fitted_reading if config else _reading(location, spec)
        split = open_split(location, recognise(location).describe(location).evaluated, reading)
        split.require(spec, None if LOSSES[loss].checks_only else LOSSES[loss])
        examples = next(iter(split.in_order(videos, list(spec.inputs))), None)
        if examples is None:
            raise DataError(f"{location}/{split.name} has no videos; give another folder with --data")
        batch = batch_of(spec, loss, examples)
    subject = Subject(name, spec, parameters, loss, batches_of(spec, batch), identity)
    if config is not None:
        subject = replace(subject, optimizer=config.recipe.optimizer, frozen=config.recipe.frozen(spec))
    return Opened(subject, checkpoint)


def _reading(location: Path, spec: Spec) -> BaseModel:
    """The reading of a data set for a checkpoint of no run: all of it, with the classes of the model."""
    kind = recognise(location).Reading
    return kind(classes=spec.width) if "classes" in kind.model_fields else kind()


def require_framework(participants: Sequence[str], spec: Spec) -> None:
    """Raise SpecError where the reference is to be compared with itself at a size at which it would take years."""
    if NAME in participants and spec.parameter_count > MOST_PARAMETERS:
        raise SpecError(
            f"'{NAME}' is the reference itself; a model of {spec.parameter_count:,} parameters is compared with it in a "
            "framework: name one with --backends"
        )
