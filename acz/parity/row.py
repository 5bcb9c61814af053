"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Row:
    """One check of one model in one backend. `measured` is the largest over what was compared, in units of `bound`'s kind."""

    model: str
    backend: str
    level: int
    check: str
    precision: str
    measured: float
    bound: float
    where: str = ""
    """The first place, in the order of execution, that left its bound; or the one nearest to it."""
    problem: str = ""
    """Why nothing could be measured."""
    waiver: str = ""
    """The reason of the waiver that lets this row pass."""

    @property
    def within(self) -> bool:
        return not self.problem and bool(self.measured <= self.bound) and bool(np.isfinite(self.bound))

    @property
    def passed(self) -> bool:
        return self.within or bool(self.waiver)
