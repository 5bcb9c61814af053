"""Arrays that grow at the end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array


class Columns:
    """Named arrays of equal length, (rows, ...), with memory for at most twice their rows.

    A column takes the wider type of itself and of added rows: float32 becomes float64, never the reverse.
    """

    def __init__(self, empty: Mapping[str, Array]) -> None:
        self.length = 0
        self._reserved = {name: value[:0] for name, value in empty.items()}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, name: str) -> Array:
        return self._reserved[name][: self.length]

    def names(self) -> list[str]:
        """Give the names of the columns."""
        return list(self._reserved)

    def extend(self, rows: Mapping[str, Array]) -> None:
        """Add rows: an array for each column, all of one length."""
        added = len(next(iter(rows.values())))
        for name, column in self._reserved.items():
            part = rows[name]
            dtype = np.promote_types(column.dtype, part.dtype)
            if self.length + added > len(column) or dtype != column.dtype:
                size = max(2 * self.length, self.length + added)
                larger = np.empty((size, *column.shape[1:]), dtype)
                larger[: self.length] = column[: self.length]
                self._reserved[name] = column = larger
            column[self.length : self.length + added] = part
        self.length += added
