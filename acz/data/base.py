"""Data sets as every reader of them sees them: examples in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acz.foundation.arrays import Array
from acz.model.losses import Loss
from acz.model.spec import Spec


@dataclass
class Examples:
    """One batch: inputs by name (with `<name>.mask` where videos are padded), labels, the examples' numbers, and their ids if at hand."""

    inputs: dict[str, Array]
    labels: Array
    numbers: Array
    ids: list[str] | None = None


class Data(Protocol):
    """One split of any data set: what training, evaluation and inference read."""

    folder: Path
    name: str

    @property
    def input_names(self) -> Sequence[str]:
        """The names of the inputs that it has."""

    def __len__(self) -> int: ...

    def require(self, spec: Spec, loss: Loss | None = None) -> None:
        """Raise DataError unless these examples are what the model reads and the labels are what its loss takes."""

    def take(self, numbers: Array, names: list[str]) -> Examples:
        """The examples of these numbers, in their order, with the named inputs."""

    def in_order(self, size: int, names: list[str]) -> Iterator[Examples]:
        """Every example once, in batches of `size`, the last one smaller."""

    def epoch(self, seed: int, epoch: int, batch_size: int, first: int, names: list[str]) -> Iterator[Examples]:
        """The full batches of a training epoch, from batch number `first`, in an order that follows from seed and epoch alone."""

    def ids(self, numbers: Array) -> list[str]:
        """What the examples are called."""
