"""A model of your own beside the reference, here or on another machine: proofs and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.api.parity.participants import on_devices, require_participant
from acz.api.results import Result, reports_progress, require_counts
from acz.backend.registry import default_backend
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.local import require_local
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.model.proof import HEADERS, NAME, Proof, read_proof, require_proof, write_proof
from acz.parity.cases import cases
from acz.parity.mutants import MUTANTS
from acz.parity.proof.checking import check_record as compare_with_record
from acz.parity.proof.making import make_record
from acz.parity.proof.opening import is_trained, open_subject, require_framework
from acz.parity.proof.proving import merged, prove, to_proof
from acz.parity.proof.record import Record, read_record, write_record
from acz.parity.proof.subject import Subject, batches_of, drawn_batch
from acz.parity.row import Row
from acz.training.run_folder import open_checkpoint

VIDEOS = 64
"""Videos of a proof, unless the user says otherwise."""
RECORDED = 8
"""Videos of a record."""


@dataclass(frozen=True, repr=False)
class ProofReport(Result):
    """One or several proofs, of one machine each."""

    proofs: tuple[Proof, ...]
    names: tuple[str, ...]
    """The files of the proofs."""

    @property
    def passed(self) -> bool:
        """True where every proof has a comparison, and no check failed."""
        return bool(self.proofs) and all(proof.passed for proof in self.proofs)

    @property
    def failures(self) -> list[str]:
        """The failed checks, a line each."""
        return [
            f"{name}: {check.participant}: level {check.level}, {check.check} {check.precision}: "
            + (check.problem or f"{check.measured}, bound {check.bound}; first at {check.where}")
            for name, proof in zip(self.names, self.proofs, strict=True)
            for check in proof.checks
            if not check.passed and not check.missing
        ]

    def table(self) -> list[list[str]]:
        """A line for each file, participant, level and precision, under `headers`."""
        return [
            [name, proof.environment.get("machine", ""), *line]
            for name, proof in zip(self.names, self.proofs, strict=True)
            for line in proof.lines()
        ]

    @property
    def headers(self) -> list[str]:
        """The headings of `table`."""
        return ["file", "machine", *HEADERS]

    def to_json(self) -> dict[str, Any]:
        shown = zip(self.names, self.proofs, strict=True)
        return {"passed": self.passed, "proofs": {name: proof.model_dump(mode="json") for name, proof in shown}}

    def __str__(self) -> str:
        checks = [check for proof in self.proofs for check in proof.checks if not check.missing]
        passed = sum(check.passed for check in checks)
        count = len(self.proofs)
        return f"{passed} of {len(checks)} checks passed, {count} proof{'s' if count > 1 else ''}"


@dataclass(frozen=True)
class Proved:
    """The outcome of a check of one model at its full size."""

    rows: list[Row]
    record: Record
    path: Path | None
    """The proof, which lies beside the checkpoint; None for starting values and mutants."""


def prove_model(
    target: str | Path, names: Sequence[str], data: Path | None, videos: int | None, mutant: str | None, shown: Progress
) -> Proved:
    """Check backends on one model at its full size, and write the proof beside its checkpoint.

    Raises:
        SpecError, CheckpointError, DataError, MissingError: as `check_parity` says.
    """
    require_counts(videos=videos)
    if mutant and mutant not in MUTANTS:
        raise SpecError(f"the mutant '{mutant}' is not one of a model of your own; levels 1 to 4 have it")
    for name in names:
        require_participant(name)
    opened = open_subject(target, data, videos or VIDEOS)
    require_framework(names, opened.subject.spec)
    rows, record = prove(opened.subject, names, shown, cores(), MUTANTS[mutant] if mutant else None)
    path = opened.checkpoint.with_name(NAME) if opened.checkpoint and not mutant else None
    if path is not None:
        write_proof(path, merged(path, to_proof(record, rows)))
    return Proved(rows, record, path)


@reports_progress
def record_parity(
    target: str | Path,
    file: str | Path,
    *,
    data: str | Path | None = None,
    videos: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the reference's answers for a model into one file, for a machine that has a backend only.

    The file holds inputs, weights, answers and bounds. `check_record` compares a backend with it in seconds.

    Args:
        target: a run, a checkpoint or a configuration at its full size; a model of the zoo stands for its tiny variant,
            unless `data` or `videos` is given.
        file: the record to write.
        data: the data set; by default the run's. Without one, numbers are drawn.
        videos: the number of videos; by default 8.

    Raises:
        SpecError, CheckpointError, DataError: the model or the data are missing, or damaged.
        CheckFailed: the reference is not finite.
    """
    require_counts(videos=videos)
    count = videos or RECORDED
    with show_progress(progress) as shown:
        if is_own(target, data, videos):
            subject = open_subject(target, Path(data) if data else None, count).subject
        else:
            subject = _tiny(str(target), count)
        write_record(Path(file), make_record(subject, shown))
    return Path(file)


@reports_progress
def check_record(
    file: str | Path,
    *,
    backends: Sequence[str] | None = None,
    device: str = "CPU",
    out: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ProofReport:
    """Compare backends of this machine with a record that another machine made. No reference is computed here.

    Args:
        file: what `record_parity` wrote. Its hash, names, shapes and types are checked.
        backends: names; `torch@GPU` names a device. By default the first that is installed.
        device: the device of backends that name none.
        out: the proof to write, which `show_proofs` reads.
        threads: threads on the CPU; by default all cores.

    Raises:
        DataError: the file is not a record, or was changed.
        SpecError, MissingError: a backend or a device is unknown or missing.
    """
    require_counts(threads=threads)
    names = on_devices([default_backend()] if backends is None else backends, device)
    for name in names:
        require_participant(name)
    record = read_record(Path(file))
    require_framework(names, record.spec)
    with show_progress(progress) as shown:
        rows = compare_with_record(Path(file), record, names, shown, threads or cores())
    proof = to_proof(record, rows)
    if out is not None:
        write_proof(Path(out), proof)
    return ProofReport((proof,), (Path(out).name if out else Path(file).name,))


def show_proofs(files: Sequence[str | Path]) -> ProofReport:
    """Read proofs of several machines, devices and precisions.

    Args:
        files: files that `check_record` or `check_parity` wrote.

    Raises:
        DataError: a file is not a proof, or is a proof of other weights than the first one.
    """
    require_local(files)
    if not files:
        raise SpecError("name at least one proof, such as proof.json")
    proofs = [read_proof(Path(file)) for file in files]
    for file, proof in zip(files, proofs, strict=True):
        if (proof.weights, proof.spec_hash) != (proofs[0].weights, proofs[0].spec_hash):
            raise DataError(f"{file} is of other weights than {files[0]}; show them in tables of their own")
    return ProofReport(tuple(proofs), tuple(str(file) for file in files))


def verify_proof(file: str | Path, checkpoint: str | Path) -> Proof:
    """Check that a proof belongs to a checkpoint, and that all its checks passed.

    Args:
        file: the proof.
        checkpoint: a checkpoint, or the folder of a run, whose best one is taken.

    Raises:
        CheckFailed: the proof is of another model or of other weights, or a check failed.
        DataError, CheckpointError: a file is missing or damaged.
    """
    require_local(file, checkpoint)
    proof = read_proof(Path(file))
    stored, source, _ = open_checkpoint(Path(checkpoint))
    require_proof(proof, Path(file), stored, source)
    return proof


def is_own(target: str | Path, data: str | Path | None, videos: int | None) -> bool:
    """True where a model is meant at its full size: a run, a checkpoint, or anything with data or a number of videos."""
    return is_trained(target) or data is not None or videos is not None


def _tiny(name: str, videos: int) -> Subject:
    """The subject of one tiny variant of the zoo. Raises SpecError where the name means several models."""
    several = cases(name)
    if len(several) > 1:
        raise SpecError(f"'{name}' means {len(several)} models; a record is of one, such as '{several[0].model}'")
    case = several[0]
    batch = drawn_batch(case.spec, case.loss, videos)
    parameters = {path: value.astype("float32") for path, value in case.parameters.items()}
    return Subject(case.model, case.spec, parameters, case.loss, batches_of(case.spec, batch))
