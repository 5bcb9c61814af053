"""Check a backend, in this distribution or in another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acz.api.results import Result, reports_progress
from acz.backend.registry import find_info
from acz.foundation.progress import Progress, show_progress
from acz.parity.contract.check import check_promises


@dataclass(frozen=True, repr=False)
class BackendReport(Result):
    """A check of the promises that a backend makes beside equal numbers."""

    backend: str
    promises: Mapping[str, tuple[str, ...]]
    """The faults, by promise. A promise that is kept has no lines."""

    @property
    def passed(self) -> bool:
        """True where every promise is kept."""
        return not any(self.promises.values())

    @property
    def failures(self) -> list[str]:
        """The faults, a line each, with the promise before it."""
        return [f"{promise}: {line}" for promise, lines in self.promises.items() for line in lines]

    def to_json(self) -> dict[str, Any]:
        promises = {promise: list(lines) for promise, lines in self.promises.items()}
        return {"backend": self.backend, "passed": self.passed, "promises": promises}

    def __str__(self) -> str:
        kept = sum(not lines for lines in self.promises.values())
        return f"backend '{self.backend}': {kept} of {len(self.promises)} promises kept"


@reports_progress
def check_backend(name: str, *, progress: Progress | None = None) -> BackendReport:
    """Check what acz relies on in a backend beside equal numbers, which `check_parity` compares.

    Each promise is checked on small models, in a process of the backend's own. docs/adding-a-backend.md lists them.

    Args:
        name: the registered name, which may be that of another distribution's backend.

    Raises:
        SpecError: the name is unknown.
        MissingError: the framework is not installed.
        JobFailed: the backend can't be loaded; an AczError.

    Example:
        >>> acz.check_backend("numpy").passed
        True
    """
    find_info(name)
    with show_progress(progress) as shown:
        return BackendReport(name, check_promises(name, shown))
