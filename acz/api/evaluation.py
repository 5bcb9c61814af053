"""Evaluate: a model, or a file of predictions, against labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acz.api.reading import choose_reading
from acz.api.results import Result, over_processes, reports_progress, require_counts
from acz.backend.build import build_model
from acz.backend.ranks import join_ranks
from acz.backend.registry import default_backend, find_backend
from acz.data.registry import fingerprint, open_split, recognise
from acz.data.youtube8m.settings import CLASSES
from acz.evaluation.metrics.figures import in_words
from acz.evaluation.predictions import SUBMITTED
from acz.evaluation.scoring import evaluate_by_class, score_predictions
from acz.evaluation.submission import is_submission, score_submission
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.hashing import contents_hash
from acz.foundation.progress import Counter, Progress, show_progress
from acz.foundation.version import __version__
from acz.model.losses import LOSSES, default_loss
from acz.model.precision import find_precision
from acz.training.latest import latest_run
from acz.training.run_folder import open_checkpoint
from acz.zoo.config import load_config


@dataclass(frozen=True, repr=False)
class Evaluation(Result):
    """Figures of a model, or of a file of predictions."""

    figures: Mapping[str, float]
    """By name, each 0 .. 1 but the loss: see `acz.FIGURES`; and `examples`, their number."""
    about: Mapping[str, str]
    """The subject: the checkpoint with its spec's hash and the backend, or the two files; and the split."""
    subject: str
    """The same in a few words."""
    average_precision: Array | None = field(default=None, compare=False)
    """The average precision of each class, (classes), where videos have several labels."""
    listed: int | None = None
    """The most labels that the file of predictions lists of a video; None for a model."""

    def __getitem__(self, name: str) -> float:
        """A figure by name."""
        return self.figures[name]

    def to_json(self) -> dict[str, Any]:
        by_class = {} if self.average_precision is None else {"average_precision": self.average_precision.tolist()}
        listed = {} if self.listed is None else {"listed": self.listed}
        return {**self.about, **listed, **self.figures, **by_class}

    def __str__(self) -> str:
        listed = "" if self.listed is None else f", the best {self.listed} labels of each"
        return f"{self.subject}: {in_words(self.figures)}  ({self.figures['examples']:,.0f} videos{listed})"


def _needs(given: Mapping[str, Any]) -> tuple[str, str]:
    target = given.get("target")
    run = open_checkpoint(latest_run() if target is None else Path(target))[2]
    backend = given.get("backend") or (str(run["backend"]) if run else default_backend())
    return backend, given.get("device", "CPU")


@over_processes(_needs)
@reports_progress
def evaluate(
    target: str | Path | None = None,
    *,
    backend: str | None = None,
    device: str = "CPU",
    precision: str | None = None,
    data: str | Path | None = None,
    split: str = "test",
    batch_size: int = 512,
    reading: Mapping[str, Any] | None = None,
    threads: int | None = None,
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a run's best checkpoint, or any checkpoint, on any backend.

    Args:
        target: a run's folder or a checkpoint; by default the latest run.
        backend: by default the run's, or the first installed; `numpy` needs no framework.
        precision: of the computation, as in `acz.build`; by default that of the run, or else `float32`.
        data: the data set; by default the run's.
        batch_size: videos at once; the figures do not depend on it.
        reading: how the data set is read; by default as the run says.
        threads: threads on the CPU, which processes of one host share; by default all cores.
        processes: processes of this host that share the videos, by default one; a launcher may have started them too. With the
            same threads for each, the figures are the same to the last bit.
        engine: `local`, or `ray`: a Ray cluster places the processes, and all its nodes see the same folders. There `threads`
            are those of each process, by default one.
        address, resources, retries: of Ray, as in `sweep`; a process takes its threads and its device of a node, and where one
            is lost all start again from the beginning.
        progress: told of the progress; by default it is shown on standard error.

    Returns:
        top-1, top-5 and loss; where videos have several labels also Hit@1, PERR, mAP, GAP and each class's precision.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
        DataError: no data are named, or they are not what the model reads.
        MissingError: the backend, the device or the precision is not here.
        CheckFailed: the model gives NaN or infinity.
    """
    require_counts(batch_size=batch_size, threads=threads)
    checkpoint, path, run = open_checkpoint(latest_run() if target is None else Path(target))
    name = backend or (run["backend"] if run else default_backend())
    location = Path(data) if data else (Path(run["data"]) if run else None)
    if location is None:
        raise DataError(f"{path} says nothing of data; give a folder with --data")
    config = load_config(run["config"]) if run else None
    kind = find_precision(precision or (config.recipe.precision if config else "float32"))
    named = config.recipe.loss if config else None
    loss = LOSSES[named] if named else default_loss(checkpoint.spec)
    chosen = choose_reading(config.fitted_reading if config else None, reading or {}, location, checkpoint.spec)
    with join_ranks(name, device, threads) as rank:
        group, opened = rank.group, find_backend(name)
        group.agree({"version of acz": __version__, "checkpoint": contents_hash([path]), "data": fingerprint(location)})
        examples = open_split(location, split, chosen, group.rank, group.world)
        examples.require(checkpoint.spec, loss)
        opened.set_threads(rank.threads)
        model = build_model(opened, checkpoint.spec, checkpoint.parameters, rank.device, kind)
        with show_progress(progress) as shown:
            advance = Counter(shown, f"evaluating on {name}", len(examples))
            figures, by_class = evaluate_by_class(
                opened, model, checkpoint.spec, examples, loss, batch_size, advance, group
            )
    about = {"checkpoint": str(path), "spec_hash": checkpoint.spec.hash, "backend": name, "split": split}
    return Evaluation(figures, about, f"{path} on {name}, {examples.name}", by_class)


@reports_progress
def evaluate_predictions(
    file: str | Path,
    labels: str | Path,
    *,
    split: str = "test",
    reading: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a file of predictions, npz, JSON lines or CSV, against the labels of a data set, by the videos' ids.

    A submission of segments is scored by MAP@100,000 against rated segments.

    A line on standard error says where the file lists fewer labels of a video than the figures count.

    Args:
        reading: how the data set is read. Without `classes`, YouTube-8M has those that its files say, and those that
            the predictions name.

    Raises:
        DataError: a video of one is not in the other, or a file is damaged.
    """
    location = Path(labels)
    data_set, given = recognise(location), dict(reading or {})
    submitted = is_submission(Path(file))
    if submitted and "segments" in data_set.Reading.model_fields:
        given = {"segments": "rated", **given}
    examples = open_split(location, split, choose_reading(None, given, location))
    if submitted:
        with show_progress(progress) as shown:
            figures, listed = score_submission(Path(file), examples, Counter(shown, f"scoring {file}", len(examples)))
        about = {"predictions": str(file), "labels": str(labels), "split": split}
        return Evaluation(figures, about, f"{file}, {examples.name}", None, listed)
    widen = "classes" in data_set.Reading.model_fields and "classes" not in given
    with show_progress(progress) as shown:
        advance = Counter(shown, f"scoring {file}", len(examples))
        figures, by_class, listed = score_predictions(Path(file), examples, advance, widen)
        if widen and by_class is not None:
            known = data_set.describe(location).classes or CLASSES
            why = f"{file} names class {len(by_class) - 1}" if len(by_class) > known else f"the labels of {labels}"
            shown.line(f"{len(by_class):,} classes count, for {why}; --classes takes another number")
        if by_class is not None and listed < min(SUBMITTED, len(by_class)):
            shown.line(
                f"{file} lists {listed} labels of a video at most; GAP and mAP count {min(SUBMITTED, len(by_class))}, and "
                "a label that is not listed counts 0: write more with 'acz infer --top-k'"
            )
    about = {"predictions": str(file), "labels": str(labels), "split": split}
    return Evaluation(figures, about, f"{file}, {examples.name}", by_class, listed)
