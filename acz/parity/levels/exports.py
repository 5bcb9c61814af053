"""Level 5: the artefact of every format, run by the runtime that its users would use, in a fresh process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from acz.exchange.artefacts.formats import Maker
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import verify
from acz.foundation.arrays import Arrays
from acz.foundation.errors import MissingError
from acz.model.checkpoint import Checkpoint, save_checkpoint
from acz.parity.levels.base import Comparison
from acz.parity.row import Row
from acz.reference.samples import Case


class Exports:
    """Every participant's artefacts in each of their runtimes. The row of a runtime is the batch nearest to its bound.

    One runtime process, which has never loaded acz, runs the artefacts of all models one after the other.
    """

    number, title = 5, "exports"
    of_models = True

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Compare each artefact; a backend without one has a row that says so."""
        names = dict.fromkeys([*comparison.backends, *comparison.formats])
        return comparison.each(case, self, partial(self._compare, case, comparison), names)

    def _compare(self, case: Case, comparison: Comparison, name: str) -> Iterator[Row]:
        row = partial(Row, case.model, name, self.number)
        if name not in comparison.formats:
            yield row("export", "float32", missing=f"{name} describes no artefact")
            return
        for maker in comparison.formats[name]:
            try:
                maker.require_installed()
            except MissingError as error:
                yield row(f"export {maker.name}", "float32", missing=str(error))
                continue
            yield from self._compare_format(case, comparison, maker)

    def _compare_format(self, case: Case, comparison: Comparison, maker: Maker) -> Iterator[Row]:
        row = partial(Row, case.model, maker.participant, self.number)
        parameters = {path: value.astype(np.float32) for path, value in case.parameters.items()}
        artefact = self._write(case, comparison, maker, parameters)
        for suffix, script in maker.scripts().items():
            check = f"export {maker.name}{suffix}"
            runtime = comparison.share(check, partial(Runtime, maker.name, script, python=maker.python))
            checks, _ = verify(case.spec, parameters, artefact, runtime, timed=False)
            nearest = max(checks, key=lambda result: result.measured / result.bound if result.passed else float("inf"))
            yield row(check, "float32", nearest.measured, nearest.bound, nearest.batch)

    def _write(self, case: Case, comparison: Comparison, maker: Maker, parameters: Arrays) -> Path:
        stem = f"{case.model.replace('/', '-')}-{maker.participant}-{maker.name}"
        source, artefact = comparison.folder / f"{stem}.safetensors", comparison.folder / f"{stem}{maker.suffix}"
        save_checkpoint(source, case.spec, parameters)

        def write_in_backend(arguments: ArtefactArguments) -> dict[str, str]:
            comparison.answers.of_backend(maker.participant, write_artefact, arguments, {})
            return {}

        maker.write(Checkpoint(case.spec, parameters), source, artefact, write_in_backend)
        return artefact
