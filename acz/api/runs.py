"""A run put together from a configuration, or from its folder: every object that training needs, opened once."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acz.api.reading import say_classes
from acz.backend.devices import check_device
from acz.backend.ranks import Rank, alone
from acz.backend.registry import find_backend
from acz.data.flash_mnist.build import NOISY
from acz.data.registry import fingerprint, open_training
from acz.exchange.weights.readers.kinds import file_kind
from acz.exchange.weights.starting import take
from acz.foundation.errors import CheckpointError, DataError, SpecError
from acz.foundation.files.hashing import contents_hash
from acz.foundation.version import __version__
from acz.model.checkpoint import Checkpoint
from acz.model.losses import choose_loss
from acz.training.distillation import Teacher
from acz.training.resuming import require_changeable, value_at
from acz.training.run import Run, Since, Start
from acz.training.run_folder import check_new_folder, open_checkpoint, read_run
from acz.zoo.config import Config, load_config


@dataclass(frozen=True)
class Origin:
    """A checkpoint to start from, and the run that it belongs to."""

    checkpoint: Checkpoint
    path: Path
    run: Mapping[str, Any] | None
    """The run's run.json, or None for a file of its own."""

    def configuration(self, changes: Mapping[str, Any]) -> Config:
        """Give the checkpoint's own model with changes, and its run's recipe and data, if it has a run.

        Raises:
            SpecError: the changes do not fit.
        """
        model = {"model": self.checkpoint.spec.to_dict()}
        if self.run is None:
            return replace(load_config(model, changes), name=self.path.stem)
        return replace(load_config({**self.run["config"], **model}, changes), name=self.run["name"])

    @property
    def data(self) -> Path | None:
        """The data set of the run that the checkpoint belongs to."""
        return Path(self.run["data"]) if self.run else None


def open_origin(start_from: Path) -> Origin:
    """Open a checkpoint to start from.

    Args:
        start_from: a checkpoint, or the folder of a run, whose best one is taken.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged. The message names `acz convert` for other files.
    """
    if start_from.is_file() and start_from.suffix != ".safetensors" and file_kind(start_from) != "acz":
        raise CheckpointError(f"{start_from} is a file of another system; 'acz convert' makes a checkpoint of it")
    return Origin(*open_checkpoint(start_from))


def new_run(
    config: Config,
    backend: str,
    device: str,
    data: Path,
    folder: Path,
    threads: int,
    origin: Origin | None = None,
    allowed: Sequence[str] = (),
    rank: Rank | None = None,
) -> Run:
    """Prepare a run in a folder that holds nothing else.

    Args:
        config: the model and its recipe.
        backend: the backend's name.
        device: the device, or the devices of several processes.
        data: the folder of the data set.
        folder: the folder of the run.
        threads: threads on the CPU, those of all processes of a host.
        origin: the checkpoint whose weights the run starts from. None: the model's starting values.
        allowed: patterns of the paths that may be missing there, left over, or of another shape.
        rank: this process among others; by default it is alone.

    Raises:
        CheckpointError: the folder holds a run, or other files; or the checkpoint does not fit the model.
        DataError: the data are not what the model reads.
        MissingError: the backend or the device is not here.
    """
    if rank is None or rank.group.rank == 0:
        check_new_folder(folder)
    start = None
    if origin is not None:
        taken = take(origin.checkpoint, origin.path, config.spec, allowed, config.recipe.seed)
        start = Start(
            taken.parameters, origin.path, contents_hash([origin.path]), taken.taken, taken.new, taken.left_out
        )
    run = _open(config, backend, device, data, fingerprint(data), folder, threads, rank)
    if "classes" not in config.reading.model_fields_set:
        say_classes(data, config.spec)
    run.start = start
    return run


def resumed_run(
    folder: Path,
    backend: str | None = None,
    device: str | None = None,
    data: Path | None = None,
    threads: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    rank: Rank | None = None,
) -> Run:
    """Prepare to resume a run, by default as it was begun, or in another backend, with other settings or other processes.

    Raises:
        CheckpointError: the folder holds no run.
        SpecError: `overrides` changes a setting that may not change.
        DataError: its data set is gone, or is another one.
        MissingError: the backend or the device is not here.
    """
    kept = read_run(folder)
    given = dict(overrides or {})
    require_changeable(list(given), folder)
    if any(name.startswith("data.") for name in given) and "data" not in kept["config"]:
        given["data.folder"] = kept["data"]
    former = load_config(kept["config"])
    config = replace(load_config(kept["config"], given), name=kept["name"])
    location = data or Path(kept["data"])
    identity = fingerprint(location)
    if data is None and identity != kept.get("data_manifest"):
        raise DataError(
            f"{location} is not the data set that {folder} was trained on; "
            "give that one with --data, or this one explicitly to resume with it"
        )
    name, place = backend or kept["backend"], device or kept["device"]
    run = _open(config, name, place, location, identity, folder, threads or int(kept["threads"]), rank)
    run.resumed = True
    run.has_other_data = kept.get("data_manifest") not in (None, identity)
    run.since = Since(**kept.get("data_since", {}))
    old, new = former.to_dict(), config.to_dict()
    values = {path: (value_at(old, path), value_at(new, path)) for path in overrides or {}}
    run.changes = {path: pair for path, pair in values.items() if pair[0] != pair[1]}
    return run


def is_made_here(config: Config, location: Path) -> bool:
    """True where the data set is the small one of digits, and is not there yet.

    A tiny variant reads other features than that data set holds.
    """
    own = config.data is not None and config.data.digits and location == Path(config.data.folder)
    return own and ":" not in config.name and not (location / "manifest.json").is_file()


def require_made(config: Config, location: Path) -> None:
    """Raise DataError that says how to make Flash-MNIST, where its model asks for its own folder and that is missing."""
    own = config.data is not None and location == Path(config.data.folder) and config.name.startswith("flash_mnist/")
    if own and not location.exists():
        out = location.parent if location.name == NOISY else location
        raise DataError(f"{location} is missing; 'acz data flash-mnist --out {out}' makes it")


def _open(
    config: Config, name: str, device: str, data: Path, identity: str, folder: Path, threads: int, rank: Rank | None
) -> Run:
    backend = find_backend(name)
    if rank is None:
        check_device(backend, device)
        rank = alone(device, threads)
    group = rank.group
    group.agree(
        {
            "version of acz": __version__,
            "backend": name,
            "configuration": hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest(),
            "data set": identity,
            "folder of the run": str(folder),
        }
    )
    loss = choose_loss(config.recipe.loss, config.spec)
    train, test = open_training(data, config.fitted_reading, group.rank, group.world)
    train.require(config.spec, loss)
    test.require(config.spec, loss)
    run = Run(
        config=config,
        loss=loss,
        backend=backend,
        device=device,
        folder=folder,
        data=data,
        fingerprint=identity,
        train=train,
        test=test,
        threads=threads,
        versions={"python": platform.python_version(), "numpy": np.__version__, **backend.versions()},
        resume_command=f"acz train --resume --out {folder}",
        rank=rank,
    )
    if config.recipe.distill:
        run.teacher = Teacher(config.recipe.distill, train, config.spec.width)
    if run.batch_size < group.world:
        raise SpecError(f"a batch of {run.batch_size:,} videos can't be shared by {group.world} processes; use fewer")
    return run
