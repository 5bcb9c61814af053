"""The shapes of a data set: its examples in batches, and the object that recognises, opens and describes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from acz.backend.processes import rows_of_rank
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.losses import Loss
from acz.model.spec import Spec

Location: TypeAlias = "Path | str | Sequence[Path | str]"
"""A folder, a file, a glob, or a list of these."""


@dataclass
class Examples:
    """One batch.

    `inputs` are arrays by name, with `<name>.mask` where videos are padded. `labels` are (videos, 0) where a data set
    has none. `numbers` are the examples' numbers in their split. Where examples are `rated`, labels are UNRATED for the
    classes that nobody rated.
    """

    inputs: dict[str, Array]
    labels: Array
    numbers: Array
    ids: list[str] | None = None
    rated: bool = False


class Data(Protocol):
    """One split of any data set, as training, evaluation and inference read it."""

    folder: Path
    name: str
    """The name of the split in the files: that of `test` may be validate."""

    @property
    def input_names(self) -> Sequence[str]:
        """The names of its inputs."""

    def __len__(self) -> int: ...

    def require(self, spec: Spec, loss: Loss | None = None) -> None:
        """Check that a model can read these examples.

        Raises:
            DataError: The inputs are not those of the model, or the labels are not those of its loss.
        """

    def take(self, numbers: Array, names: list[str]) -> Examples:
        """The examples of these numbers, in this order, with the named inputs."""

    def in_order(self, size: int, names: list[str]) -> Iterator[Examples]:
        """Every example of this process's part once, in batches of `size`; the last batch may be smaller.

        Processes that share a split have whole batches of it, one after the other: see `batches_in_order`.
        """

    def epoch(self, seed: int, epoch: int, batch_size: int, first: int, names: list[str]) -> Iterator[Examples]:
        """This process's part of each full batch of a training epoch, from batch number `first`.

        Their order follows from seed and epoch alone. The parts are contiguous rows, those of `rows_of_rank`.
        """

    def ids(self, numbers: Array) -> list[str]:
        """The names of these examples."""


def batches_in_order(count: int, size: int, rank: int = 0, world: int = 1) -> Iterator[range]:
    """The numbers of each batch of a process's part of `count` examples in their order: whole batches of `size`.

    So the batches do not depend on the number of processes.
    """
    batches = rows_of_rank(-(-count // size), rank, world)
    for batch in range(batches.start, batches.stop):
        yield range(batch * size, min((batch + 1) * size, count))


class VideoFrames(Protocol):
    """The frames of videos whose data set stores features only."""

    def make(self, split: str, number: int, label: Any) -> Array:
        """The frames of one video, uint8 (frames, height, width).

        Raises:
            DataError: The video has another label than `label`.
        """


def label_in_words(label: Any) -> str:
    """A label, or a predicted class, for a reader: the number of its class, or the numbers of several."""
    if np.ndim(label):
        return ", ".join(map(str, np.flatnonzero(np.greater(label, 0)))) or "none"
    return f"class {int(label)}"


@dataclass(frozen=True)
class Description:
    """The facts of a data set that pages and pictures show."""

    classes: int | None = None
    """The number of classes; None where the files do not say."""
    in_words: Callable[[Any], str] = label_in_words
    """Writes a label (a class, or zeros and ones by class) for a reader."""
    symbols: tuple[str, ...] = ()
    """The things that the bits of a label stand for: bit d says that a video shows symbol d.

    Empty for labels without parts.
    """
    open_frames: Callable[[Path | None], VideoFrames] | None = None
    """Opens the videos' frames, given the folder of the images that they show; None where no frames can be had."""
    evaluated: str = "test"
    """The split that training evaluates on."""


class NoReading(BaseModel):
    """The reading of a data set that can be read in one way only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSet(Protocol):
    """A kind of data set. `acz.data.registry.DATA_SETS` lists all of them."""

    name: str
    """The name that a configuration gives as `data.set`."""
    Reading: type[BaseModel]
    """The settings that a configuration may give as `data.reading`."""

    def recognises(self, location: Location) -> bool:
        """Say whether the files at a location are of this data set."""

    def open(self, location: Location, split: str, reading: BaseModel, rank: int = 0, world: int = 1) -> Data:
        """Open a split.

        Args:
            location: Files that `recognises` takes.
            split: `train` or `test`, or another name that the files have.
            reading: Settings of the class `Reading`.
            rank: The number of this process among those that share the split.
            world: The number of these processes.

        Raises:
            DataError: The files are missing or damaged; the message names the file.
        """

    def fingerprint(self, location: Location) -> str:
        """A hash that tells one data set from another. Raises DataError."""

    def describe(self, location: Location) -> Description:
        """The facts of a data set that pages and pictures show. Raises DataError."""


def enough_outputs(spec: Spec, classes: int) -> str:
    """The option that gives a model as many outputs as there are classes, for messages."""
    for placed in reversed(spec.layout):
        for setting in ("units", "classes"):
            if placed.path.startswith("trunk.") and getattr(placed.layer, setting, None) == spec.width:
                return f"--set model.{placed.path}.{setting}={classes} gives it {classes}"
    return f"take a model with {classes} outputs"


def one_path(location: Location) -> Path:
    """The path of a location that is a single file or folder. Raises DataError for a list."""
    if not isinstance(location, (str, Path)):
        raise DataError(f"{', '.join(map(str, location))}: only YouTube-8M is read from a list of files")
    return Path(location)


def require_labels(split: Data, labels: Array) -> None:
    """Raise DataError where the labels of a batch say that the split has none."""
    if labels.ndim == 2 and labels.shape[1] == 0:
        raise DataError(f"{split.folder}/{split.name} has no labels to compare with; 'acz infer' needs none")
