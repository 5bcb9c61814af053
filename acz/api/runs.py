"""A run put together from a configuration, or from its folder: every object that training needs, opened once."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import numpy as np

from acz.backend.devices import check_device
from acz.backend.registry import find_backend
from acz.data.registry import fingerprint, open_split
from acz.foundation.errors import DataError
from acz.model.losses import choose_loss
from acz.training.run import Run
from acz.training.run_folder import check_new_folder, read_run
from acz.zoo.config import Config, load_config


def new_run(config: Config, backend: str, device: str, data: Path, folder: Path, threads: int) -> Run:
    """Prepare a run in a folder that holds nothing else.

    Raises:
        CheckpointError: the folder holds a run, or other files.
        DataError: the data are not what the model reads.
        MissingError: the backend or the device is not here.
    """
    check_new_folder(folder)
    return _open(config, backend, device, data, fingerprint(data), folder, threads)


def resumed_run(
    folder: Path,
    backend: str | None = None,
    device: str | None = None,
    data: Path | None = None,
    threads: int | None = None,
) -> Run:
    """Prepare to resume a run, by default as it was begun, or in another backend.

    Raises:
        CheckpointError: the folder holds no run.
        DataError: its data set is gone, or is another one.
        MissingError: the backend or the device is not here.
    """
    kept = read_run(folder)
    config = replace(load_config(kept["config"]), name=kept["name"])
    location = data or Path(kept["data"])
    identity = fingerprint(location)
    if data is None and identity != kept.get("data_manifest"):
        raise DataError(
            f"{location} is not the data set that {folder} was trained on; "
            "give that one with --data, or this one explicitly to resume with it"
        )
    name, place = backend or kept["backend"], device or kept["device"]
    run = _open(config, name, place, location, identity, folder, threads or int(kept["threads"]))
    run.resumed = True
    return run


def is_made_here(config: Config, location: Path) -> bool:
    """True where the data set is the small one of digits, and is not there yet.

    A tiny variant reads other features than that data set holds.
    """
    own = config.data is not None and config.data.digits and location == Path(config.data.folder)
    return own and ":" not in config.name and not (location / "manifest.json").is_file()


def _open(config: Config, name: str, device: str, data: Path, identity: str, folder: Path, threads: int) -> Run:
    backend = find_backend(name)
    check_device(backend, device)
    loss = choose_loss(config.recipe.loss, config.spec)
    train, test = (open_split(data, split, config.reading) for split in ("train", "test"))
    train.require(config.spec, loss)
    test.require(config.spec, loss)
    return Run(
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
    )
