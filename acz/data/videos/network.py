"""A network that turns frames or patches of sound into features, whatever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.hashing import contents_hash


class Network(ABC):
    """A network with one input, (rows, ...), and one output, a vector for each row."""

    path: Path
    """Its file."""
    shape: tuple[int | None, ...]
    """The shape of its input, None where an axis takes any number; empty where the file does not say."""
    takes_bytes: bool
    """True where its input is uint8."""
    words: str
    """Its output, in a message."""

    @abstractmethod
    def compute(self, rows: Array) -> Array:
        """The output of some rows. Raises DataError where the network does not take them."""

    @property
    def hash(self) -> str:
        """The hash of its file."""
        return contents_hash([self.path])

    def shape_of_patches(self, count: int, windows: int, bands: int) -> tuple[int, ...]:
        """The shape in which it takes patches of sound: with an axis of channels where its input has four axes."""
        if len(self.shape) == 4 and self.shape[1] != 1:
            return (count, windows, bands, 1)
        return (count, 1, windows, bands) if len(self.shape) in (0, 4) else (count, windows, bands)

    def run(self, given: Array, batch: int) -> Array:
        """Compute features.

        Args:
            given: The input (rows, ...).
            batch: The most rows that are computed at once. A network that takes a fixed number gets this number.

        Returns:
            float32 (rows, features).

        Raises:
            DataError: The network does not take this input, or gives something else than a vector for each row.
        """
        parts = []
        fixed = self.shape[0] if self.shape else None
        for start in range(0, len(given), fixed or batch):
            rows = given[start : start + (fixed or batch)]
            missing = (fixed or len(rows)) - len(rows)
            filled = np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else rows
            features = self.compute(np.ascontiguousarray(filled))
            if len(features) != len(filled) or features.size % len(filled):
                raise DataError(f"{self.path}: {self.words} is {features.shape} for {len(filled)} frames")
            parts.append(features.reshape(len(filled), -1)[: len(rows)].astype(np.float32))
        return np.concatenate(parts)
