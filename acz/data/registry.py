"""The known data sets: finding the one that lies at a location, and opening it."""

from __future__ import annotations

from pydantic import BaseModel

from acz.data.base import Data, DataSet, Location
from acz.data.flash_mnist.dataset import FLASH_MNIST
from acz.data.folder import FEATURES
from acz.data.youtube8m.dataset import YOUTUBE8M
from acz.foundation.errors import SpecError, nearest
from acz.foundation.settings import validate

DATA_SETS: tuple[DataSet, ...] = (YOUTUBE8M, FLASH_MNIST, FEATURES)
"""Asked in this order; the last one takes every location."""
DEFAULT: DataSet = YOUTUBE8M
"""The data set whose reading a configuration without `data.set` gives."""


def recognise(location: Location) -> DataSet:
    """The data set whose files lie at a location. Raises DataError where a manifest there is damaged."""
    return next(data_set for data_set in DATA_SETS if data_set.recognises(location))


def open_split(location: Location, split: str, reading: BaseModel | None = None, rank: int = 0, world: int = 1) -> Data:
    """Open a split of whatever data set lies at a location.

    Args:
        location: A folder with a manifest; a folder with feature_train*.pkl and feature_test*.pkl, or one such file.
            YouTube-8M: a folder with train*.tfrecord and validate*.tfrecord (or .tfrecord.gz), a glob, or a list of
            paths.
        split: `train` or `test`. One feature_*.pkl alone is the split `train` where its name says so, else `test`.
        reading: How the data set is read. The reading of another data set is not used; the defaults are.
        rank: The number of this process among those that share the split.
        world: The number of these processes.

    Raises:
        DataError: The files are missing or damaged; the message names the file.
    """
    data_set = recognise(location)
    settings = reading if isinstance(reading, data_set.Reading) else data_set.Reading()
    return data_set.open(location, split, settings, rank, world)


def open_training(
    location: Location, reading: BaseModel | None = None, rank: int = 0, world: int = 1
) -> tuple[Data, Data]:
    """Open the split that training learns from, and the one that it evaluates on, as `open_split` does. Raises DataError."""
    evaluated = recognise(location).describe(location).evaluated
    return (
        open_split(location, "train", reading, rank, world),
        open_split(location, evaluated, reading, rank, world),
    )


def fingerprint(location: Location) -> str:
    """A hash that tells one data set from another, of anything that `open_split` opens. Raises DataError."""
    return recognise(location).fingerprint(location)


def find_data_set(name: str) -> DataSet:
    """The data set of a name. Raises SpecError that gives the nearest name."""
    for data_set in DATA_SETS:
        if data_set.name == name:
            return data_set
    raise SpecError(f"'{name}' is not a known data set; {nearest(name, [data_set.name for data_set in DATA_SETS])}")


def reading_to_dict(reading: BaseModel) -> dict[str, object]:
    """A reading as plain data that another process can read: the name of its data set, and its settings."""
    name = next(data_set.name for data_set in DATA_SETS if data_set.Reading is type(reading))
    return {"set": name, "reading": reading.model_dump(mode="json")}


def reading_from_dict(tree: dict[str, object]) -> BaseModel:
    """The reading that `reading_to_dict` wrote."""
    return validate(find_data_set(str(tree["set"])).Reading, tree["reading"], "reading")
