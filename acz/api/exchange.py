"""Export artefacts, convert weights, load and save checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.api.results import Result, reports_progress, require_counts
from acz.backend.signature import Form
from acz.exchange.artefacts.formats import find_format, formats
from acz.exchange.artefacts.making import artefact_name, write_verified
from acz.exchange.weights.averaging import average_weights
from acz.exchange.weights.incoming import convert as convert_weights
from acz.exchange.weights.outgoing import find_native, to_native
from acz.foundation.errors import SpecError
from acz.foundation.files.local import require_local
from acz.foundation.progress import Progress, show_progress
from acz.model.checkpoint import save_checkpoint
from acz.model.proof import proof_in_words
from acz.model.spec import Spec
from acz.training.latest import latest_run
from acz.training.run_folder import BEST, open_checkpoint
from acz.zoo.config import load_config


@dataclass(frozen=True, repr=False)
class Artefact(Result):
    """A verified artefact of a runtime."""

    path: Path
    """A file, or a folder."""
    checkpoint: Path
    """The checkpoint that was exported."""
    format: str
    runtime: str
    """The program that its users run it with."""
    report: Mapping[str, Any]
    """The measurements: every check with its bound, latencies, size, versions. It also lies beside the artefact."""
    proof: str = ""
    """A line about the proof beside the checkpoint; empty without one."""

    def to_json(self) -> dict[str, Any]:
        proof = {"proof": self.proof} if self.proof else {}
        return {"artefact": str(self.path), **proof, **self.report}

    def __str__(self) -> str:
        lines = [f"{self.path}: verified with {self.runtime}; report in {self.path.name}.report.json", self.proof]
        if "against_float32" in self.report:
            lost = self.report["against_float32"]
            lines.append(
                f"weights in {self.report['weights']}: {self.report['size_bytes'] / 2**20:.2f} MiB; on random videos the "
                f"output differs from that of float32 weights by {lost['output']:.1e}, and the best class in "
                f"{lost['best_class']:.1%}"
            )
        return "\n".join(filter(None, lines))


@dataclass(frozen=True, repr=False)
class Converted(Result):
    """Weights of another system as a checkpoint."""

    checkpoint: Path
    system: str
    guessed: bool
    """True where the system was recognised from the file."""
    spec: Spec
    optimizer: bool
    """True where the optimiser's state came along."""
    notes: Sequence[str]
    """Remarks for the person who converts."""
    model: str = ""
    """The options that name the model, where it was found from the file."""

    def to_json(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.checkpoint),
            "system": self.system,
            "guessed": self.guessed,
            **({"model": self.model} if self.model else {}),
            "spec_hash": self.spec.hash,
            "parameters": self.spec.parameter_count,
            "optimizer": self.optimizer,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return f"{self.checkpoint}: {self.spec.parameter_count:,} parameters from {self.system}"


@dataclass(frozen=True, repr=False)
class AverageOfCheckpoints(Result):
    """A checkpoint with the mean of several checkpoints' weights."""

    checkpoint: Path
    files: tuple[Path, ...]
    """The checkpoints that were averaged."""
    spec: Spec

    def to_json(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.checkpoint),
            "average_of": [str(path) for path in self.files],
            "spec": self.spec.hash,
        }

    def __str__(self) -> str:
        return f"{self.checkpoint}: the mean of {len(self.files)} checkpoints, {self.spec.parameter_count:,} parameters"


@dataclass(frozen=True, repr=False)
class NativeFile(Result):
    """A checkpoint as a framework's own file."""

    path: Path
    kind: str
    arrays: int
    opened: str
    """The code with which its users open it."""

    def to_json(self) -> dict[str, Any]:
        return {"file": str(self.path), "kind": self.kind, "arrays": self.arrays, "read_with": self.opened}

    def __str__(self) -> str:
        return f"{self.path}: {self.arrays} arrays, read back with the same bits; {self.opened}"


def list_formats() -> list[str]:
    """Names of the formats that `export` writes."""
    return list(formats())


def require_formats(names: Sequence[str], weights: str = "float32", masks: str = "bool") -> None:
    """Raise SpecError or MissingError unless every format has this form, and what makes and runs it is installed."""
    for name in names:
        find_format(name).require_form(Form.of(weights, masks))


@reports_progress
def export(
    target: str | Path | None = None,
    format: str = "onnx",
    *,
    out: str | Path | None = None,
    weights: str = "float32",
    masks: str = "bool",
    threads: int = 1,
    progress: Progress | None = None,
) -> Artefact:
    """Write a model for a runtime, verify it there, and keep it only if it computes the same function.

    The artefact runs in a fresh process, on several batch sizes, padded frames, zeros and huge values, and is compared with
    the reference within a derived bound.

    Args:
        target: a run's folder or a checkpoint, whichever framework trained it; by default the latest run's best.
        format: one of `list_formats()`.
        out: the artefact's file or folder; by default in the folder `export` beside the checkpoint: `model` and so on,
            or named after a checkpoint that is not the run's best.
        weights: `float32`; in onnx also `float16`, or `uint8`, codes of 256 values; in tflite `float16`, or `int8`,
            dynamic range quantisation.
        masks: `bool`, `uint8` or `none`: the type of the mask inputs.
        threads: threads of the runtime when the artefact is verified and timed.

    Raises:
        CheckFailed: the artefact left its bound; nothing is written.
        SpecError, MissingError: the format or its form is unknown, or what makes it is not installed.
    """
    require_counts(threads=threads)
    chosen, form = find_format(format), Form.of(weights, masks)
    chosen.require_form(form)
    checkpoint, source, _ = open_checkpoint(latest_run() if target is None else Path(target))
    stem = "" if source.name == BEST else source.stem
    path = Path(out) if out else source.parent / "export" / artefact_name(stem, chosen, form)
    with show_progress(progress) as shown:
        report = write_verified(checkpoint, source, chosen, path, shown, threads, form=form)
    return Artefact(path, source, chosen.name, chosen.runtime, report, proof_in_words(source, checkpoint))


@reports_progress
def convert(
    file: str | Path,
    out: str | Path,
    *,
    model: str | Path | Mapping[str, Any] | None = None,
    system: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    allow: Sequence[str] = (),
    batch_size: int | None = None,
    key: str | None = None,
    progress: Progress | None = None,
) -> Converted:
    """Bring weights of another system in. Everything in the file must fit the model; nothing in it is run.

    Args:
        file: a file or folder, or what a TensorFlow checkpoint's files begin with.
        out: the checkpoint to write.
        model: the model that it is: a name in the zoo, a YAML file, or a plain tree; by default it is found from the
            names and shapes in the file, if only one model of the zoo fits.
        system: whose file it is; by default it is recognised from the file, if only one system fits.
        overrides: values of the configuration by dotted path.
        allow: names that may be missing, left over, of another shape or formula; wildcards work.
        batch_size: videos in a batch of the original, where its function depends on that.
        key: the key that holds the weights, in a file with dictionaries in each other; by default the usual one.

    Raises:
        DataError: the file is missing, damaged, or does not fit; every misfit is listed.
        SpecError, MissingError: the model or system is unknown, or the framework that must read the file is missing.
    """
    require_counts(batch_size=batch_size)
    changes = dict(overrides or {})

    def respecify(more: Mapping[str, Any]) -> Spec:
        return load_config(model or {}, {**changes, **more}).spec

    with show_progress(progress) as shown:
        known = None if model is None else respecify
        converted = convert_weights(Path(file), known, Path(out), system, allow, shown, batch_size, changes, key)
    return Converted(
        Path(out),
        converted.system,
        converted.guessed,
        converted.spec,
        bool(converted.optimizer),
        tuple(converted.notes),
        converted.model,
    )


def average_checkpoints(
    targets: Sequence[str | Path], out: str | Path, *, weights: Sequence[float] | None = None
) -> AverageOfCheckpoints:
    """Write a checkpoint with the mean of several checkpoints' weights: of one run's epochs, or of runs from one start.

    Weights of runs that began from different starting values do not lie near each other, and their mean is no good model:
    average their predictions instead (`average_predictions`).

    Args:
        targets: folders of runs, whose best checkpoints are taken, or checkpoints; all of one model.
        out: the checkpoint to write.
        weights: the weight of each. None: all have the same.

    Raises:
        CheckpointError: a checkpoint is missing or damaged, or they are of several models.
        SpecError: the weights are not positive numbers, one for each checkpoint.

    Example:
        >>> acz.average_checkpoints(["runs/a", "runs/b"], "mean.safetensors")
    """
    require_local(targets, out)
    if not targets:
        raise SpecError("give the checkpoints to average")
    opened = [open_checkpoint(Path(target))[:2] for target in targets]
    files = tuple(path for _, path in opened)
    spec = opened[0][0].spec
    parameters = average_weights(opened, weights)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(Path(out), spec, parameters, state={"average_of": [path.name for path in files]})
    return AverageOfCheckpoints(Path(out), files, spec)


@reports_progress
def save_native(
    target: str | Path | None, kind: str, out: str | Path, *, progress: Progress | None = None
) -> NativeFile:
    """Write a checkpoint as a framework's own file, read back with the same bits before it is kept.

    Args:
        target: a run's folder or a checkpoint; None is the latest run's best.
        kind: `torch`, `keras`, `paddle`, `mindspore`, or what another backend describes.
        out: the file to write.

    Raises:
        CheckFailed: an array does not come back as it was; nothing is written.
        SpecError, MissingError: the kind is unknown, or its framework is not installed.
    """
    info, native = find_native(kind, Path(out))
    checkpoint, source, _ = open_checkpoint(latest_run() if target is None else Path(target))
    with show_progress(progress) as shown:
        count = to_native(checkpoint, source, info, Path(out), shown)
    return NativeFile(Path(out), kind, count, native.opened)
