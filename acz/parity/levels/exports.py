"""Level 5: the artefact of every format, run by the runtime that its users would use, in a fresh process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from acz.exchange.artefacts.formats import REFERENCE_EVALUATOR, Format, script
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.onnx.writer import write_onnx
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import verify
from acz.foundation.arrays import Arrays
from acz.model.checkpoint import save_checkpoint
from acz.parity.levels.base import Comparison
from acz.parity.row import Row
from acz.reference.samples import Case

ONNX = "onnx"
"""Stands among the participants for the ONNX file, which the core writes."""


class Exports:
    """Every participant's artefact in each of its runtimes. The row of a runtime is the batch nearest to its bound.

    One runtime process, which has never loaded acz, runs the artefacts of all models one after the other.
    """

    number, title = 5, "exports"

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Compare each artefact; a backend without one has a row that says so."""
        names = dict.fromkeys([*comparison.backends, *comparison.formats])
        return comparison.each(case, self, partial(self._compare, case, comparison), names)

    def _compare(self, case: Case, comparison: Comparison, name: str) -> Iterator[Row]:
        row = partial(Row, case.model, name, self.number)
        if name not in comparison.formats:
            yield row("export", "float32", missing=f"{name} describes no artefact")
            return
        chosen = comparison.formats[name]
        parameters = {path: value.astype(np.float32) for path, value in case.parameters.items()}
        artefact = self._write(case, comparison, name, chosen, parameters)
        scripts = {f"export {chosen.name}": script(chosen)}
        if chosen.backend is None:
            scripts[f"export {chosen.name}, reference evaluator"] = REFERENCE_EVALUATOR
        for check, file in scripts.items():
            runtime = comparison.share(check, partial(Runtime, chosen, file=file))
            checks, _ = verify(case.spec, parameters, artefact, runtime, timed=False)
            nearest = max(checks, key=lambda one: one.measured / one.bound if one.passed else float("inf"))
            yield row(check, "float32", nearest.measured, nearest.bound, nearest.batch)

    def _write(self, case: Case, comparison: Comparison, name: str, chosen: Format, parameters: Arrays) -> Path:
        stem = comparison.folder / f"{case.model.replace('/', '-')}-{name}-export"
        artefact = stem.with_name(stem.name + chosen.suffix)
        if chosen.backend is None:
            write_onnx(case.spec, parameters, artefact)
        else:
            checkpoint = stem.with_name(f"{stem.name}.safetensors")
            save_checkpoint(checkpoint, case.spec, parameters)
            arguments = ArtefactArguments(checkpoint, artefact)
            comparison.answers.of_backend(name, write_artefact, arguments, {})
        return artefact
