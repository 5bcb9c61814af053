"""Waivers: bounds that one framework can't keep, with their reasons."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from acz.foundation.errors import SpecError
from acz.parity.row import Row

WAIVERS = Path(__file__).parent / "waivers.yaml"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Waiver:
    """Checks of one backend that pass within a bound of their own. `model` and `check` are patterns."""

    backend: str
    model: str
    check: str
    precision: str
    bound: float
    """The bound that the checks keep instead of theirs."""
    reason: str

    def covers(self, row: Row) -> bool:
        """True where the waiver speaks of a row that was measured."""
        return (
            row.backend == self.backend
            and fnmatchcase(row.model, self.model)
            and fnmatchcase(row.check, self.check)
            and row.precision == self.precision
            and not row.problem
            and not row.missing
        )


def read_waivers(path: Path = WAIVERS) -> list[Waiver]:
    """The waivers of a file. Raises SpecError that names the file and what is wrong in it."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[Waiver]).validate_python(tree or [])
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise SpecError(f"{path}: waiver {place}: {problem['msg']}") from None


def apply_waivers(rows: list[Row], waivers: Iterable[Waiver], complete: bool = False) -> list[Row]:
    """Let waived rows pass within the waiver's own bound, with its reason.

    A waiver expires when its checks ran and pass without it, and, in a complete run of its backend, when it covers no
    check. An expired waiver adds a failing row.

    Args:
        complete: true where every model and level ran.
    """
    expired = []
    for waiver in waivers:
        covered = [row for row in rows if waiver.covers(row)]
        for row in covered:
            if not row.within and row.measured <= waiver.bound:
                row.waiver = waiver.reason
        left_over = complete and not covered and any(row.backend == waiver.backend for row in rows)
        if left_over or (covered and all(row.within for row in covered)):
            level = covered[0].level if covered else 1
            problem = f"this waiver is no longer needed, remove it: {waiver.reason}"
            expired.append(Row(waiver.model, waiver.backend, level, waiver.check, waiver.precision, problem=problem))
    return rows + expired
