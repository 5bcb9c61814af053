"""Predictions for every example of a split, in its order. An interrupted inference resumes.

The work folder `.OUT.part` lies beside the output until it is complete. It holds the settings, and a file for each
stretch of examples. The memory does not grow with the number of examples.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from acz.data.base import Data
from acz.data.batching import padded
from acz.evaluation.predictions import Kind, Part, join, write_part
from acz.evaluation.predictor import Best, Predictor
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed, DataError
from acz.foundation.files.atomic import remove_leftovers, remove_leftovers_of
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.locks import locked
from acz.foundation.processes.group import Group
from acz.foundation.processes.prefetch import prefetch
from acz.reference.ranking import best_first

STRETCH = 16
"""Batches in one file of the work folder."""


@dataclass(frozen=True)
class PredictionRequest:
    """The settings that determine every byte of a prediction file."""

    model: str
    """SHA-256 of the checkpoint or artefact."""
    backend: str
    data: str
    split: str
    top_k: int
    labels: str
    kind: Kind
    batch_size: int
    reading: str = ""
    """The choice of frames and videos, as JSON."""
    classes: str = ""
    """SHA-256 of the file of the only classes that are predicted."""


def work_folder(out: Path) -> Path:
    """The folder of an inference that is not complete."""
    return out.with_name(f".{out.name}.part")


def write_predictions(
    predictor: Predictor,
    split: Data,
    out: Path,
    request: PredictionRequest,
    names: list[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    group: Group | None = None,
    only: Array | None = None,
) -> int:
    """Write the predictions of a split to a file, or resume an interrupted call.

    `acz.evaluation.predictions` describes the file.

    Args:
        predictor: the model.
        split: the examples.
        out: the file to write.
        request: the settings. An interrupted call with other settings is not resumed.
        names: the names of the classes, for JSON.
        progress: is told the numbers of finished examples and of all examples.
        group: the processes that share the work, which write into one folder. The file is that of one process.
        only: the classes that are predicted, int (classes). None: all.

    Returns:
        The number of examples.

    Raises:
        DataError: the work folder belongs to another inference, or `names` are too few.
        CheckFailed: an output is not finite.
    """
    if names is not None and len(names) < predictor.spec.width:
        raise DataError(f"the label file has {len(names):,} names, the model has {predictor.spec.width:,} classes")
    group = group or Group(0, 1)
    work = work_folder(out)
    with locked(work) if group.rank == 0 else nullcontext():
        if group.rank == 0:
            remove_leftovers(work)
            remove_leftovers_of(out)
            claim_folder(work, "settings.json", asdict(request))
        group.wait()
        stretch = request.batch_size * STRETCH
        total, done = len(split), 0
        missing = []
        for start in range(0, total, stretch):
            if (work / f"{start:012d}.{request.kind}").is_file():
                done += min(stretch, total - start)
            else:
                missing.append(start)
        progress(done, total)
        group.wait()  # every process has seen the same files
        for start in missing[group.rank :: group.world]:
            parts = []
            for part in _predicted(predictor, split, start, min(start + stretch, total), request, only):
                parts.append(part)
                done += len(part.ids) * group.world
                progress(min(done, total), total)
            write_part(work / f"{start:012d}.{request.kind}", parts, names)
        group.wait()
        if group.rank:
            return total
        files = [work / f"{start:012d}.{request.kind}" for start in range(0, total, stretch)]
        join(files, out, request.kind)
        for file in files:
            file.unlink()  # before the settings, so that a kill leaves no file without its settings
        shutil.rmtree(work)
    return total


def _predicted(
    predictor: Predictor, split: Data, start: int, stop: int, request: PredictionRequest, only: Array | None
) -> Iterator[Part]:
    """The best classes of examples start .. stop - 1, batch by batch.

    All batches have one size, so that a model compiles once.
    """
    size = min(request.batch_size, len(split))
    names, width = list(predictor.spec.inputs), predictor.spec.width
    count = min(request.top_k, width) if only is None else width
    numbers = (np.arange(first, min(first + size, stop)) for first in range(start, stop, size))
    for examples in prefetch(split.take(batch, names) for batch in numbers):
        best = Best(*(value[: len(examples.numbers)] for value in predictor.best(padded(examples.inputs, size), count)))
        ids = split.ids(examples.numbers)
        if not best.finite.all():
            bad = ids[int(best.finite.argmin())]
            raise CheckFailed(f"the model gives NaN or infinity on example {bad} ({split.folder}, {split.name})")
        scores, classes = best_first(best.scores, best.classes)
        if only is not None:
            kept = np.isin(classes, only)
            scores, classes = (value[kept].reshape(len(ids), -1)[:, : request.top_k] for value in (scores, classes))
        yield Part(ids, classes.astype(np.int64), scores)
