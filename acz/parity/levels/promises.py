"""Level 7: what acz relies on in a backend beside equal numbers of models, as `acz backend-check` lists it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from acz.parity.contract.check import PromiseArguments, check_promise
from acz.parity.contract.promises import PROMISES
from acz.parity.levels.base import Comparison
from acz.parity.row import Row
from acz.reference.samples import Case


class Promises:
    """Every promise of each backend, on the small model of acz.parity.contract.samples. A row counts the faults of one."""

    number, title = 7, "promises"
    of_models = False

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Check each backend once; `case` is the contract's own."""
        return comparison.each(case, self, partial(self._check, case, comparison))

    def _check(self, case: Case, comparison: Comparison, backend: str) -> Iterator[Row]:
        for promise in PROMISES:
            faults = comparison.answers.ask(backend, check_promise, PromiseArguments(promise, backend))
            problem = "; ".join(faults)
            yield Row(case.model, backend, self.number, promise, measured=float(len(faults)), problem=problem)
