"""Making an artefact, proving it, and keeping it only then."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from acz.backend.registry import installed
from acz.backend.signature import PLAIN, Form
from acz.backend.worker import Worker, Wrapper
from acz.exchange.artefacts.formats import Maker
from acz.exchange.artefacts.jobs import ArtefactArguments, write_artefact
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import TIMED, Check, loss_of_weights, verify
from acz.foundation.errors import CheckFailed, DataError
from acz.foundation.files.atomic import name_in_errors, sync, write_text_atomically
from acz.foundation.files.locks import hold_folder, remove_abandoned
from acz.foundation.processes.job_process import JobFailed, WorkerDied
from acz.foundation.progress import Progress
from acz.model.checkpoint import Checkpoint

ROOM = 2**20
"""Bytes that an artefact may need beside its parameters."""


def report_path(artefact: Path) -> Path:
    """The path of an artefact's report, beside it."""
    return artefact.with_name(f"{artefact.name}.report.json")


def artefact_name(stem: str, maker: Maker, form: Form) -> str:
    """The name of an artefact where the user gives none: `model.onnx`, `model-int8.tflite`, or the folder `paddle`.

    With the stem of a checkpoint's name, so that two of one folder have two artefacts: `last.onnx`, `last-paddle`.
    """
    kind = maker.name if maker.marker else "" if stem else "model"
    changes = [f"{word}-masks" if name == "masks" else word for name, word in form.changes.items()]
    return "-".join(filter(None, [stem, kind, *changes])) + maker.suffix


def write_verified(
    checkpoint: Checkpoint,
    source: Path,
    maker: Maker,
    out: Path,
    shown: Progress,
    threads: int = 1,
    wrap: Wrapper | None = None,
    form: Form = PLAIN,
) -> dict[str, Any]:
    """Write a checkpoint, read from `source`, as an artefact at `out`, verified in its runtime; gives the report that is written beside it.

    An earlier artefact at `out` is replaced once the new one is proved. `wrap` is as in Worker. Raises CheckFailed where
    the artefact leaves its bound, and DataError where `out` is something else; nothing is written then.
    """
    taken = out.exists() and (not maker.recognises(out) if maker.marker else out.is_dir())
    if taken and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} is there already and is not a {maker.name} artefact; choose another --out")
    with name_in_errors(out), _beside(out) as folder:
        made = folder / f"artefact{maker.suffix}"
        shown(f"{maker.name}: making", 0, 3)
        try:
            versions = write_unverified(checkpoint, source, maker, made, wrap, form)
        except (WorkerDied, JobFailed):
            if shutil.disk_usage(folder).free < ROOM + sum(value.nbytes for value in checkpoint.parameters.values()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None  # some writers only abort
            raise
        shown(f"{maker.name}: verifying", 1, 3)
        checks, about = verify_artefact(checkpoint, maker, made, threads, form)
        bad = [check for check in checks if not check.passed]
        if bad:
            lines = [f"{c.batch}: {c.measured:.2e}, bound {c.bound:.2e}" for c in bad]
            raise CheckFailed(
                f"the {maker.name} artefact is not the function of {source}, so it was not kept:\n  "
                + "\n  ".join(lines)
            )
        report = _report(checkpoint, source, maker, form, made, versions, checks, about, threads)
        shown(f"{maker.name}: writing", 2, 3)
        written = folder / "report.json"
        write_text_atomically(written, json.dumps(report, indent=1) + "\n")
        _put(made, out, folder)
        written.replace(report_path(out))
    return report


def write_unverified(
    checkpoint: Checkpoint, source: Path, maker: Maker, out: Path, wrap: Wrapper | None = None, form: Form = PLAIN
) -> dict[str, str]:
    """Write the artefact, not verified yet; returns the versions of the writer."""

    def write_in_backend(arguments: ArtefactArguments) -> dict[str, str]:
        with Worker(maker.participant, wrap=wrap) as worker:
            return worker.run(write_artefact, arguments)[0]

    return maker.write(checkpoint, source, out, write_in_backend, form)


def verify_artefact(
    checkpoint: Checkpoint, maker: Maker, artefact: Path, threads: int, form: Form = PLAIN
) -> tuple[list[Check], dict[str, Any]]:
    """Run an artefact in each of its runtimes; returns the checks, and what the first runtime measured."""
    checks: list[Check] = []
    measured: dict[str, Any] = {}
    for suffix, script in maker.scripts().items():
        with Runtime(maker.name, script, threads, maker.python) as runtime:
            asked = checkpoint.spec, checkpoint.parameters, artefact, runtime
            results, about = verify(*asked, timed=not checks, form=form, held=maker.held(checkpoint, form))
        measured = measured or about
        checks += [replace(result, batch=f"{result.batch}{suffix}") for result in results]
    return checks, measured


def _report(
    checkpoint: Checkpoint,
    source: Path,
    maker: Maker,
    form: Form,
    made: Path,
    versions: dict[str, str],
    checks: list[Check],
    about: dict[str, Any],
    threads: int,
) -> dict[str, Any]:
    nearest = max(checks, key=lambda check: check.measured / check.bound)
    algorithms = {
        f"{placed.path}.{name}" if name else placed.path: algorithm
        for placed in checkpoint.spec.layout
        for name, algorithm in placed.layer.algorithms(placed.input_shape, maker.fft_cost).items()
    }
    return {
        "format": maker.name,
        "weights": form.weights,
        "masks": form.masks,
        **_against_float32(checkpoint, maker, form),
        "spec_hash": checkpoint.spec.hash,
        "checkpoint": source.name,
        "passed": True,
        "measured": nearest.measured,
        "bound": nearest.bound,
        "checks": [asdict(check) for check in checks],
        **({"circulant_products": algorithms} if algorithms else {}),
        "size_bytes": size(made),
        "latency_ms": {str(videos): round(about["seconds"][videos] * 1e3, 3) for videos in TIMED},
        "threads": threads,
        "runtime": {maker.runtime: "fresh process, CPU"},
        "versions": versions,
        "runtime_modules": [name for name in about["modules"] if name in {"acz", *installed(), "onnxruntime"}],
    }


def _against_float32(checkpoint: Checkpoint, maker: Maker, form: Form) -> dict[str, Any]:
    """The difference that weights in fewer bits make, on the batches of the checks. Empty for float32."""
    held = maker.held(checkpoint, form)
    if form.weights == PLAIN.weights or held is None:
        return {}
    return {"against_float32": loss_of_weights(checkpoint.spec, checkpoint.parameters, held)}


def size(artefact: Path) -> int:
    """Bytes of a file or of everything in a folder."""
    if artefact.is_file():
        return artefact.stat().st_size
    return sum(path.stat().st_size for path in artefact.rglob("*") if path.is_file())


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder beside `out` to work in, gone afterwards; what a killed export left there goes first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(out.parent.glob(f".{out.name}.*.making"))
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".making"))
    try:
        with hold_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(made: Path, out: Path, folder: Path) -> None:
    """Give a finished artefact its name, on disk and whole; an earlier one gives way."""
    for path in [made, *made.rglob("*")]:
        sync(path)
    report_path(out).unlink(missing_ok=True)
    if out.is_dir():
        out.rename(folder / "earlier")
    made.chmod(0o755 if made.is_dir() else 0o644)
    made.replace(out)
    sync(out.parent)
