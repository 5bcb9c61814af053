"""Level 5: the artefact of every format, run by the runtime that its users would use, in a fresh process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from acz.exchange.artefacts.formats import REFERENCE_EVALUATOR, Format, formats, script
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import verify
from acz.model.checkpoint import save_checkpoint
from acz.parity.levels.base import Ask, Guarded
from acz.parity.row import Row
from acz.reference.samples import Case

ONNX = "onnx"
"""Stands among the backends for the ONNX file, which the core writes."""


def exports(chosen: list[Case], backend: str, guarded: Guarded) -> Iterator[Row]:
    """One row for each case and runtime: the batch that came nearest to its bound. A backend without a format has none.

    One runtime process runs the artefacts of all cases, one after the other; it has never loaded acz.
    """
    made = next((one for one in formats().values() if (one.backend or ONNX) == backend), None)
    if made is None:
        return
    scripts = {f"export {made.name}": script(made)}
    if made.backend is None:
        scripts[f"export {made.name}, reference evaluator"] = REFERENCE_EVALUATOR
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acz-parity-")))
        runtimes = {name: stack.enter_context(Runtime(made, file=file)) for name, file in scripts.items()}
        for number, case in enumerate(chosen):
            work = partial(_one, case, backend, made, folder / str(number), runtimes)
            yield from guarded(backend, case, 5, work)


def _one(case: Case, backend: str, made: Format, stem: Path, runtimes: Mapping[str, Runtime], ask: Ask) -> list[Row]:
    checkpoint, out = stem.with_suffix(".safetensors"), stem.with_suffix(made.suffix)
    parameters = {path: value.astype(np.float32) for path, value in case.parameters.items()}
    if made.backend is None:
        from acz.exchange.artefacts.onnx.writer import write_onnx

        write_onnx(case.spec, parameters, out)
    else:
        save_checkpoint(checkpoint, case.spec, parameters)
        ask(write_artefact, ArtefactArguments(checkpoint, out), {})
    rows = []
    for name, runtime in runtimes.items():
        checks, _ = verify(case.spec, parameters, out, runtime, timed=False)
        worst = max(checks, key=lambda check: check.measured / check.bound if check.passed else float("inf"))
        rows.append(Row(case.model, backend, 5, name, "float32", worst.measured, worst.bound, worst.batch))
    return rows
