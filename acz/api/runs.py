"""A run put together from a configuration, or from its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from acz.data.registry import fingerprint, open_split
from acz.foundation.errors import DataError
from acz.model.losses import default_loss
from acz.training.run import Run
from acz.training.run_folder import check_new_folder, read_run
from acz.zoo.config import Config, load_config


def new_run(config: Config, backend: str, device: str, data: Path, folder: Path, threads: int) -> Run:
    """Prepare a run in a folder that holds nothing else.

    Raises CheckpointError where the folder holds a run or other files, DataError where the data are not what the model reads.
    """
    check_new_folder(folder)
    return _open(config, backend, device, data, folder, threads)


def resumed_run(
    folder: Path,
    backend: str | None = None,
    device: str | None = None,
    data: Path | None = None,
    threads: int | None = None,
) -> Run:
    """Go on with a run, by default as it was begun, or in another backend. Raises CheckpointError where the folder holds none."""
    kept = read_run(folder)
    config = replace(load_config(kept["config"]), name=kept["name"])
    where = data or Path(kept["data"])
    if data is None and fingerprint(where) != kept.get("data_manifest"):
        raise DataError(
            f"{where} is not the data set that {folder} was trained on; "
            "give that one with --data, or this one explicitly to go on with it"
        )
    run = _open(
        config, backend or kept["backend"], device or kept["device"], where, folder, threads or int(kept["threads"])
    )
    run.resumed = True
    return run


def _open(config: Config, backend: str, device: str, data: Path, folder: Path, threads: int) -> Run:
    loss = config.recipe.loss or default_loss(config.spec)
    train, test = (open_split(data, split, config.reading) for split in ("train", "test"))
    train.require(config.spec, loss)
    test.require(config.spec, loss)
    return Run(config, backend, device, folder, data, train, test, threads)
