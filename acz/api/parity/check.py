"""Compare backends with the reference, and check what else acz relies on in a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.api.parity.participants import (
    ONE_PROCESS,
    WITH_PRECISIONS,
    all_installed,
    known,
    on_devices,
    open_participants,
)
from acz.api.parity.records import is_own, prove_model
from acz.api.results import Result, reports_progress
from acz.backend.devices import check_precision, split_participant
from acz.backend.registry import REFERENCE, find_info
from acz.backend.versions import environment
from acz.foundation.errors import SpecError, nearest
from acz.foundation.files.tables import write_csv
from acz.foundation.progress import Progress, show_progress
from acz.model.precision import FULL, Precision, find_precision
from acz.parity.cases import cases
from acz.parity.comparison import compare_backends
from acz.parity.contract.check import check_promises
from acz.parity.levels import TITLES
from acz.parity.mutants import MUTANTS
from acz.parity.mutants.precisions import PRECISION_MUTANTS
from acz.parity.mutants.processes import PROCESS_MUTANTS
from acz.parity.report import all_passed, list_failures, summarise, to_json, to_table
from acz.parity.row import Row
from acz.parity.waivers import apply_waivers, read_waivers
from acz.reference.samples import Case


@dataclass(frozen=True, repr=False)
class ParityReport(Result):
    """The measurements of a comparison of backends with the reference."""

    rows: tuple[Row, ...]
    """One row for each check."""
    backends: tuple[str, ...]
    """The participants; `onnx` is the file that the core writes."""
    missing: tuple[str, ...]
    """Known backends that are not installed here, where all that are installed were asked for."""
    cases: tuple[Case, ...]
    """The models."""
    proof: Path | None = None
    """The proof that lies beside the checkpoint, where one model of your own was checked."""
    precisions: tuple[Precision, ...] = FULL
    """The precisions of levels 1 to 3."""

    @property
    def passed(self) -> bool:
        """True where something was compared, and every check passed or is waived."""
        return all_passed(self.rows)

    @property
    def failures(self) -> list[str]:
        """The failures, a line each: the place, and by how much."""
        return list_failures(self.rows)

    def summary(self) -> list[list[str]]:
        """Lines of model, backend, level; measured and bound in each precision; and a verdict."""
        return summarise(self.rows, self.precisions)

    def to_json(self) -> dict[str, Any]:
        return to_json(self.rows, self.missing)

    def to_csv(self, path: str | Path) -> None:
        """Write every check, with the versions of what ran, as a table."""
        write_csv(Path(path), to_table(self.rows, self.cases, environment()))

    def __str__(self) -> str:
        passed, open_rows = sum(row.passed for row in self.rows), sum(row.not_bounded for row in self.rows)
        compared = sum(not row.missing for row in self.rows) - open_rows
        absent = [f"{name}: missing, not compared" for name in self.missing]
        loose = [f"{open_rows} more have a bound that says nothing, and count as neither"] if open_rows else []
        lines = [*absent, f"{passed} of {compared} checks passed, {len(self.backends)} backends", *loose]
        return "\n".join(lines + ([f"{self.proof}: the proof, with every check"] if self.proof else []))


@reports_progress
def check_parity(
    models: str | Path = "*",
    *,
    backends: Sequence[str] | None = None,
    levels: Sequence[int] | None = None,
    precisions: Sequence[str] | None = None,
    device: str = "CPU",
    mutant: str | None = None,
    data: str | Path | None = None,
    videos: int | None = None,
    progress: Progress | None = None,
) -> ParityReport:
    """Compare every backend with the NumPy reference, each in a process of its own.

    A run or a checkpoint is checked at its full size, with its weights: outputs of every layer, the loss, gradients along
    directions and ten steps of training. The proof is written beside the checkpoint.

    Args:
        models: a model's name, wildcards, or a YAML file, which stands for its tiny variant; a run, or a checkpoint.
        backends: names; `onnx` is the file that level 5 writes. By default all that are installed. `torch@GPU` names a device.
        levels: 1 outputs, 2 gradients, 3 training, 4 checkpoints, 5 exports, 6 several processes, 7 promises. By default all but 6,
            and 1 to 3 where a precision is low.
        precisions: those of levels 1 to 3: `float64`, `float32`, `tf32`, `bfloat16`, `float16`. By default the first two.
        device: the device of backends that name none. Levels 5 to 7 are of the CPU.
        mutant: a known mistake that is put into every backend; the check must then fail.
        data: the data set of a model that is checked at its full size; by default the run's, else drawn numbers.
        videos: the number of videos of a batch there, by default 64. With `data` or `videos` any model is checked so.

    Raises:
        SpecError: a model, a backend, a level, a precision or a mutant is unknown, or a level has no low precisions.
        MissingError: a backend is not installed or has no such precision, a device is not here, or there is nothing to compare.

    Example:
        >>> acz.check_parity("flash_mnist/attention_cluster", backends=["numpy"], levels=[1]).passed
        True
    """
    kinds = FULL if precisions is None else tuple(dict.fromkeys(find_precision(name) for name in precisions))
    low = any(kind.is_low for kind in kinds)
    if is_own(models, data, videos):
        if kinds != FULL:
            raise SpecError("a model at its full size is checked in float64 and float32; leave out --precision")
        return _prove(models, backends, device, mutant, data, videos, progress)
    chosen, numbers = cases(str(models)), sorted(set(levels or (WITH_PRECISIONS if low else ONE_PROCESS)))
    for number in numbers:
        if number not in TITLES:
            raise SpecError(f"there is no level {number}; the levels are {', '.join(map(str, TITLES))}")
    if low and not set(numbers) <= set(WITH_PRECISIONS):
        raise SpecError(f"levels 1, 2 and 3 have low precisions; leave out level {max(numbers)}, or --precision")
    mutants = MUTANTS | PROCESS_MUTANTS | PRECISION_MUTANTS
    if mutant and mutant not in mutants:
        raise SpecError(f"there is no mutant '{mutant}'; {nearest(mutant, mutants)}")
    names = on_devices(all_installed(numbers) if backends is None else backends, device)
    participants = open_participants(names, numbers)
    for name in participants.backends if backends is not None else ():
        for kind in kinds:
            check_precision(name, kind)
    present = {REFERENCE, *(split_participant(name)[0] for name in names)}
    missing = [name for name in known(numbers) if name not in present] if backends is None else []
    with show_progress(progress) as shown:
        wrap = mutants[mutant] if mutant else None
        rows = compare_backends(chosen, participants, numbers, progress=shown, wrap=wrap, precisions=kinds)
    complete = str(models) == "*" and set(numbers) >= set(ONE_PROCESS) and kinds == FULL and not mutant
    rows = apply_waivers(rows, read_waivers(), complete)
    return ParityReport(tuple(rows), tuple(names), tuple(missing), tuple(chosen), precisions=kinds)


def _prove(
    target: str | Path,
    backends: Sequence[str] | None,
    device: str,
    mutant: str | None,
    data: str | Path | None,
    videos: int | None,
    progress: Progress | None,
) -> ParityReport:
    """Check one model at its full size."""
    names = on_devices(all_installed([1]) if backends is None else backends, device)
    with show_progress(progress) as shown:
        proved = prove_model(target, names, Path(data) if data else None, videos, mutant, shown)
    manifest = proved.record.manifest
    case = Case(manifest.model, proved.record.spec, manifest.loss)
    return ParityReport(tuple(proved.rows), tuple(names), (), (case,), proved.path)


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
