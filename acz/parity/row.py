"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acz.model.precision import FORMATS

MOST_BOUND = 0.5
"""The largest bound that says something: beyond half of the largest value, other functions would keep it too."""


@dataclass
class Row:
    """One check of one model in one backend."""

    model: str
    backend: str
    level: int
    check: str
    precision: str = ""
    measured: float = float("nan")
    """The largest difference of what was compared, relative as the bound is."""
    bound: float = 0.0
    where: str = ""
    """The first place, in the order of execution, that left its bound; or the one nearest to it."""
    problem: str = ""
    """Why nothing could be measured."""
    waiver: str = ""
    """The reason of the waiver that lets this row pass."""
    device: str = "CPU"
    """The device of the backend."""
    missing: str = ""
    """Why there is nothing to compare: the backend does not offer it. Such a row neither passes nor fails."""

    @property
    def participant(self) -> str:
        """The backend, with its device where that is not the CPU: `torch@GPU`."""
        return self.backend if self.device == "CPU" else f"{self.backend}@{self.device}"

    @property
    def within(self) -> bool:
        """True where what was measured keeps its bound."""
        return not self.problem and bool(self.measured <= self.bound) and bool(np.isfinite(self.bound))

    @property
    def not_bounded(self) -> bool:
        """True where the row is within a bound that says nothing. Such a row neither passes nor fails.

        In a low precision a bound may be infinite, where a draw overflows.
        """
        inside = self.within or (self.precision in FORMATS and not self.problem and self.measured <= self.bound)
        return inside and self.bound > MOST_BOUND and not self.waiver

    @property
    def passed(self) -> bool:
        """True where the row is within a bound that says something, or waived."""
        return (self.within and not self.not_bounded) or bool(self.waiver)

    @property
    def failed(self) -> bool:
        """True where the row was compared and left its bound."""
        return not self.passed and not self.missing and not self.not_bounded
