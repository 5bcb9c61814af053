"""Arrays that grow at the end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.foundation.arrays import Array


class Columns:
    """Named arrays of equal length, (rows, ...). At most twice of what they hold is reserved.

    A column widens to the type of what is added: float32 to float64, but never back.
    """

    def __init__(self, empty: Mapping[str, Array]) -> None:
        self.length = 0
        self._reserved = {name: value[:0] for name, value in empty.items()}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, name: str) -> Array:
        return self._reserved[name][: self.length]

    def names(self) -> list[str]:
        return list(self._reserved)

    def extend(self, rows: Mapping[str, Array]) -> None:
        """Add rows: each column's part, all of one length."""
        added = len(next(iter(rows.values())))
        for name, held in self._reserved.items():
            part = rows[name]
            dtype = np.promote_types(held.dtype, part.dtype)
            if self.length + added > len(held) or dtype != held.dtype:
                size = max(2 * self.length, self.length + added)
                grown = np.empty((size, *held.shape[1:]), dtype)
                grown[: self.length] = held[: self.length]
                self._reserved[name] = held = grown
            held[self.length : self.length + added] = part
        self.length += added
