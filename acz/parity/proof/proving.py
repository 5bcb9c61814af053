"""A whole proof: the record of a subject, backends beside it, and ten steps of training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from acz.backend.devices import split_device, split_participant
from acz.backend.versions import environment
from acz.backend.worker import Wrapper
from acz.foundation.errors import AczError
from acz.foundation.progress import Progress
from acz.model.proof import Proof, read_proof
from acz.parity.comparison import start_worker
from acz.parity.proof.checking import TIMEOUT, WIDE, check_record, to_measurements, to_rows
from acz.parity.proof.estimate import check_bytes, check_seconds, free_bytes, training_bytes
from acz.parity.proof.making import make_record
from acz.parity.proof.record import Record, read_record, write_record
from acz.parity.proof.subject import Subject
from acz.parity.proof.training import (
    STEPS,
    OwnTraining,
    ReferenceTraining,
    Training,
    train_backend,
    train_reference,
)
from acz.parity.row import Row


def prove(
    subject: Subject, participants: Sequence[str], shown: Progress, threads: int, wrap: Wrapper | None = None
) -> tuple[list[Row], Record]:
    """Check backends on a subject; memory and time are said first.

    Args:
        participants: names of backends, which may have a device.
        threads: threads of each backend on the CPU.
        wrap: as in Worker.
    """
    shown.line(in_words(subject, len(participants)))
    with tempfile.TemporaryDirectory(prefix="acz-proof-") as name:
        path = Path(name) / "record.safetensors"
        write_record(path, make_record(subject, shown))
        record = read_record(path)
        rows = check_record(path, record, participants, shown, threads, wrap)
        rows += _trainings(subject, path, participants, rows, shown, threads, wrap)
    order = list(participants)
    rows.sort(key=lambda row: (order.index(row.participant), row.level))
    return rows, record


def in_words(subject: Subject, backends: int) -> str:
    """The memory and the time of a proof, in one line."""
    videos = len(subject.batches["data"].labels)
    needed = max(check_bytes(subject.spec, videos), training_bytes(subject.spec))
    free = free_bytes()
    seconds = check_seconds(subject, backends)
    time = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} s"
    more = "; that is more than is free: take fewer --videos" if free is not None and needed > free else ""
    return (
        f"{subject.model}: {subject.spec.parameter_count:,} parameters, {videos:,} videos"
        f"{'' if subject.data else ' of drawn numbers'}; takes about {time} and {needed / 1e9:.1f} GB of memory{more}"
    )


def _trainings(
    subject: Subject,
    path: Path,
    participants: Sequence[str],
    rows: Sequence[Row],
    shown: Progress,
    threads: int,
    wrap: Wrapper | None,
) -> list[Row]:
    """Ten steps of each backend beside the reference's, whose gradients a backend without a failed check computes."""
    trained = [path for path in subject.spec.trained if path not in subject.frozen]
    failed = {row.participant for row in rows if row.failed}
    able = [name for name in participants if split_device(split_participant(name)[1])[0] in WIDE]
    source = next((name for name in able if name not in failed), None)
    needed, free = training_bytes(subject.spec), free_bytes()
    missing = ""
    if not trained:
        missing = "the model has no trained parameter"
    elif source is None:
        missing = "no backend has right gradients in float64, which the reference's training takes"
    elif free is not None and needed > free:
        missing = f"the reference's training needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
    if missing or source is None:
        return [_row(subject, name, missing=missing) for name in participants]
    training = Training(path.resolve(), subject.optimizer, subject.frozen)
    ends = {kind: path.with_name(f"{kind}.safetensors").resolve() for kind in ("exact", "rounded")}
    losses: dict[str, tuple[float, ...]] = {}
    try:
        with start_worker(source, threads, wrap) as worker:
            for number, kind in enumerate(ends):
                shown("training of the reference", number, len(ends), f"gradients by {source}")
                arguments = ReferenceTraining(training, ends[kind], kind == "rounded")
                losses[kind] = tuple(worker.run(train_reference, arguments, timeout=TIMEOUT)[0])
    except AczError as error:
        return [_row(subject, name, problem=str(error)) for name in participants]
    own = OwnTraining(training, ends["exact"], ends["rounded"], losses["exact"], losses["rounded"])
    trainings: list[Row] = []
    for number, name in enumerate(participants):
        shown("training of backends", number, len(participants), name)
        try:
            with start_worker(name, threads, wrap) as worker:
                measured = worker.run(train_backend, own, timeout=TIMEOUT)[0]
            trainings += to_rows(subject.model, name, "float32", measured)
        except AczError as error:
            trainings.append(_row(subject, name, problem=str(error)))
    return trainings


def _row(subject: Subject, participant: str, problem: str = "", missing: str = "") -> Row:
    backend, device = split_participant(participant)
    check = f"training of {STEPS} steps"
    return Row(subject.model, backend, 3, check, "float32", problem=problem, missing=missing, device=device)


def to_proof(record: Record, rows: Sequence[Row]) -> Proof:
    """The document of a check, with the versions and the machine."""
    return Proof(
        model=record.manifest.model,
        spec_hash=record.spec.hash,
        weights=record.manifest.weights,
        data=record.manifest.data,
        videos=record.videos,
        environment=environment(),
        checks=to_measurements(rows),
    )


def merged(path: Path, proof: Proof) -> Proof:
    """A proof with the checks of other participants that lies at a path already, of the same weights and versions."""
    if not path.is_file():
        return proof
    try:
        earlier = read_proof(path)
    except AczError:
        return proof
    if earlier.model_copy(update={"checks": ()}) != proof.model_copy(update={"checks": ()}):
        return proof
    new = {check.participant for check in proof.checks}
    kept = tuple(check for check in earlier.checks if check.participant not in new)
    return proof.model_copy(update={"checks": kept + proof.checks})
