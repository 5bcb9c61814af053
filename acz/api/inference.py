"""Infer and average predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from acz.api.reading import choose_reading
from acz.api.results import Result, over_processes, reports_progress, require_counts
from acz.backend.ranks import alone, join_ranks
from acz.backend.registry import default_backend, find_backend
from acz.data.registry import fingerprint, open_split
from acz.data.vocabulary import read_classes, read_labels
from acz.evaluation.ensemble import average
from acz.evaluation.inference import PredictionRequest, work_folder, write_predictions
from acz.evaluation.predictions import KEPT, Kind, kind_of
from acz.evaluation.predictor import Predictor, model_predictor
from acz.exchange.artefacts.formats import format_of
from acz.exchange.artefacts.predictor import artefact_predictor
from acz.foundation.errors import DataError, SpecError
from acz.foundation.files.hashing import file_hash
from acz.foundation.files.locks import wait_for_folder
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.foundation.version import __version__
from acz.model.precision import Precision, find_precision
from acz.training.latest import latest_run
from acz.training.run_folder import open_checkpoint
from acz.zoo.config import load_config

PREDICTIONS = "predictions.jsonl"
READ, READ_OF_SEGMENTS = {"sampling", "on_bad_record"}, {"segments", "segment_frames"}
"""The settings of reading that determine a file of predictions."""
GRACE = 60.0
"""Seconds in which processes that were lost must have left the work folder."""


@dataclass(frozen=True, repr=False)
class Inferred(Result):
    """A file of predictions."""

    out: Path
    examples: int
    model: Path
    """The checkpoint or the artefact."""
    predictor: str
    """The backend or the format that computed it."""
    spec_hash: str
    top_k: int
    """Labels of each video."""

    def to_json(self) -> dict[str, Any]:
        return {
            "out": str(self.out),
            "examples": self.examples,
            "model": str(self.model),
            "with": self.predictor,
            "spec_hash": self.spec_hash,
            "top_k": self.top_k,
        }

    def __str__(self) -> str:
        return f"{self.out}: the best {self.top_k} labels of {self.examples:,} videos, by {self.predictor}"


def _needs(given: Mapping[str, Any]) -> tuple[str, str]:
    target = given.get("target")
    if target is not None and format_of(Path(target)):
        raise SpecError("an artefact runs in one process; leave out processes (--processes)")
    run = open_checkpoint(latest_run() if target is None else Path(target))[2]
    backend = given.get("backend") or (str(run["backend"]) if run else default_backend())
    return backend, given.get("device", "CPU")


def _continue(given: Mapping[str, Any]) -> tuple[Callable[..., Inferred], Mapping[str, Any]]:
    """The same call, when processes that were lost have left its work folder."""
    wait_for_folder(work_folder(Path(given.get("out", PREDICTIONS))), GRACE)
    return infer, given


@over_processes(_needs, again=_continue)
@reports_progress
def infer(
    target: str | Path | None = None,
    out: str | Path = PREDICTIONS,
    *,
    data: str | Path | None = None,
    split: str = "test",
    top_k: int | None = None,
    class_names: str | Path | None = None,
    only_classes: str | Path | None = None,
    format: str | None = None,
    backend: str | None = None,
    device: str = "CPU",
    precision: str | None = None,
    batch_size: int = 256,
    reading: Mapping[str, Any] | None = None,
    threads: int | None = None,
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int | None = None,
    progress: Progress | None = None,
) -> Inferred:
    """Predict the labels of every video, in order, with a checkpoint on any backend or an artefact in its own runtime.

    An interrupted call is resumed by the same call.

    Args:
        target: a run's folder, a checkpoint, or an exported artefact; by default the latest run.
        out: the file to write.
        data: a data set, or a `feature_*.pkl`; by default the run's.
        top_k: labels of each video; by default 50, enough for a mean with other files, and 20 in the competition's
            CSV. Where there are fewer classes, all are written.
        class_names: names of the classes: a line each, or a CSV file with Index and Name.
        only_classes: a file with a class a line, such as segment_label_ids.csv; the others are left out.
        format: `jsonl`, `npz`, `youtube8m-csv` or `segments-csv`; by default by the name of `out`.
        backend, device: by default the run's backend, or the first installed; not for artefacts.
        precision: of the computation, as in `acz.build`; by default that of the run, or else `float32`; not for artefacts.
        batch_size: videos at once.
        reading: how the data set is read; by default as the run says, but all segments where the run read rated ones.
        threads: threads on the CPU, which processes of one host share; by default all cores.
        processes: processes of this host that share the videos, by default one; a launcher may have started them too. All
            write beside `out`. With the same threads for each, the file is the same to the last byte.
        engine: `local`, or `ray`: a Ray cluster places the processes, and all its nodes see the same folders. There `threads`
            are those of each process, by default one.
        address, resources, retries: of Ray, as in `sweep`; a process takes its threads and its device of a node, and where one
            is lost all start again from what is written.
        progress: told of the progress; by default it is shown on standard error.

    Raises:
        SpecError, DataError, CheckpointError, MissingError: wrong use, data, model, or a missing backend.
        CheckFailed: the model gives NaN or infinity.
    """
    require_counts(top_k=top_k, batch_size=batch_size, threads=threads)
    out, path = Path(out), latest_run() if target is None else Path(target)
    kind = kind_of(out, format)
    artefact = None if target is None else format_of(path)
    if artefact and (backend or precision or device != "CPU"):
        raise SpecError(
            f"{target} runs in {artefact.runtime} on the CPU; leave out --backend, --precision and --device"
        )
    run: dict[str, Any] | None = None
    if not artefact:
        checkpoint, path, run = open_checkpoint(path)
    location = Path(data) if data else (Path(run["data"]) if run else None)
    if location is None:
        raise DataError(f"{path} says nothing of data; give a folder or a feature_*.pkl with --data")
    names = read_labels(Path(class_names)) if class_names else None
    only = read_classes(Path(only_classes)) if only_classes else None
    config = load_config(run["config"]) if run else None
    kept = config.fitted_reading if config else None
    numbers = find_precision(precision or (config.recipe.precision if config else "float32"))
    opened: AbstractContextManager[Predictor]
    with ExitStack() as stack:
        if artefact:
            name, rank = artefact.name, alone(device, threads or cores())
            opened = artefact_predictor(artefact, path, rank.threads)
        else:
            name = backend or (run["backend"] if run else default_backend())
            rank = stack.enter_context(join_ranks(name, device, threads))
            opened = model_predictor(find_backend(name), checkpoint, rank.device, rank.threads, numbers)
        predictor = stack.enter_context(opened)
        spec = predictor.spec
        chosen = choose_reading(kept, reading or {}, location, spec)
        if "unlabelled" in type(chosen).model_fields:
            chosen = chosen.model_copy(update={"unlabelled": True})
        chosen = _segments(chosen, reading or {}, kind, location)
        examples = open_split(location, split, chosen)
        examples.require(spec)
        if only is not None and (only >= spec.width).any():
            raise DataError(
                f"{only_classes}: lists class {only.max()}; the model has the classes 0 .. {spec.width - 1}"
            )
        request = PredictionRequest(
            file_hash(path),
            f"{name} {device}{f' {numbers.value}' if numbers is not Precision.FLOAT32 else ''}",
            fingerprint(location),
            split,
            top_k or KEPT[kind],
            file_hash(Path(class_names)) if class_names else "",
            kind,
            batch_size,
            chosen.model_dump_json(include=READ | (READ_OF_SEGMENTS if getattr(chosen, "segments", None) else set())),
            file_hash(Path(only_classes)) if only_classes else "",
        )
        rank.group.agree({"request": json.dumps(asdict(request)), "version of acz": __version__})
        with show_progress(progress) as shown:
            videos = write_predictions(
                predictor,
                examples,
                out,
                request,
                names,
                lambda done, total: shown(f"inference, {name}", done, total),
                rank.group,
                only,
            )
    return Inferred(out, videos, path, name, spec.hash, min(request.top_k, spec.width if only is None else len(only)))


def _segments(chosen: BaseModel, given: Mapping[str, Any], kind: Kind, location: Path) -> BaseModel:
    """The reading, with all segments where a submission of segments is made, or where the run read rated ones.

    Raises:
        SpecError: the data set has no segments.
    """
    if "segments" not in type(chosen).model_fields:
        if kind == "segments":
            raise SpecError(f"--format segments-csv is for YouTube-8M, and {location} is not; leave it out")
        return chosen
    if "segments" not in given and (kind == "segments" or chosen.segments is not None):  # type: ignore[attr-defined]
        return chosen.model_copy(update={"segments": "all"})
    return chosen


@reports_progress
def average_predictions(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    weights: Sequence[float] | None = None,
    top_k: int | None = None,
    format: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the weighted mean of several models' predictions for the same videos; gives the number of videos.

    A label's score is the mean of its scores in the files; where a file does not list it, it counts 0. A line on
    standard error says how many labels each file lists, and warns where they differ.

    Args:
        files: files of predictions, npz, JSON lines or CSV, of the same videos.
        weights: a positive number for each file; by default all the same.
        top_k: labels of each video; by default as many as the file that lists most, and at most 20 in the competition's
            CSV.
        format: `jsonl`, `npz`, `youtube8m-csv` or `segments-csv`; by default by the name of `out`.

    Raises:
        SpecError: the weights are not positive numbers, one for each file.
        DataError: the files are not of the same videos in the same order.
    """
    require_counts(top_k=top_k)
    kind = kind_of(Path(out), format)
    with show_progress(progress) as shown:
        return average(
            [Path(file) for file in files],
            Path(out),
            kind,
            weights,
            top_k,
            lambda done: shown("averaging", done, done),
            lambda widths, kept: _say_widths(files, widths, kept, shown),
        )


def _say_widths(files: Sequence[str | Path], widths: Sequence[int], kept: int, shown: Progress) -> None:
    """Say how many labels files list of a video, and warn where they differ."""
    words = ", ".join(f"{file} {width}" for file, width in zip(files, widths, strict=True))
    shown.line(f"labels of a video: {words}; {kept} are written")
    if len(set(widths)) > 1:
        shown.line(
            "warning: a label that a file does not list counts 0 there, so the means below its last label are too small; "
            f"'acz infer --top-k {max(widths)}' writes files of one width"
        )
