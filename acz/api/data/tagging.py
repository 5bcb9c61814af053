"""Tag video files with a trained model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acz.api.results import Result, reports_progress, require_counts
from acz.backend.build import build_model
from acz.backend.devices import check_device
from acz.backend.protocol import Backend
from acz.backend.registry import find_backend
from acz.data.videos.extractor import Extractor, recorded_extractor
from acz.data.videos.listing import SUFFIXES, list_videos, plain_name
from acz.data.videos.making import CLASS_NAMES, FEATURES
from acz.data.vocabulary import read_labels
from acz.foundation.arrays import Array
from acz.foundation.errors import CheckpointError, DataError, SpecError
from acz.foundation.files.atomic import write_atomically, write_text_atomically
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.model.spec import Spec
from acz.studies.reports.attention import attention_layers
from acz.studies.reports.video_page import Tagged, TaggedPart, best_labels, draw_page
from acz.training.latest import latest_run
from acz.training.run_folder import VIDEOS, open_checkpoint

WINDOW = 5.0
"""Seconds of a window, by default."""
KINDS = (".html", ".jsonl", ".npz")


@dataclass(frozen=True, repr=False)
class TaggedVideos(Result):
    """Videos that a model has tagged."""

    videos: list[dict[str, Any]]
    """Each has `id`, `labels` (pairs of name and score, best first), and `windows` with `start`, `end` and `labels`."""
    out: Path | None

    def to_json(self) -> dict[str, Any]:
        return {"out": None if self.out is None else str(self.out), "videos": self.videos}

    def __str__(self) -> str:
        lines = []
        for video in self.videos:
            labels = ", ".join(f"{name} {score:.3f}" for name, score in video["labels"])
            lines.append(f"{video['id']}: {labels}")
        return "\n".join([*lines, f"written to {self.out}"] if self.out else lines)


@reports_progress
def infer_video(
    target: str | Path | None,
    video: str | Path,
    out: str | Path | None = None,
    *,
    files: str | Path | None = None,
    window: float = WINDOW,
    top_k: int = 5,
    class_names: str | Path | None = None,
    backend: str | None = None,
    device: str = "CPU",
    threads: int | None = None,
    progress: Progress | None = None,
) -> TaggedVideos:
    """Tag a video file, or each of a folder, with the model of a run: labels of the whole video, and over time.

    Features are extracted as those of the run's data were.

    Args:
        target: the folder of a run, or a checkpoint in one; None: the latest run.
        video: a file, or a folder that is searched for videos.
        out: the file to write: a page (.html), JSON lines (.jsonl), or the scores of all classes (.npz).
        files: the folder of the networks and matrices, where the extractor needs any.
        window: seconds of the window that slides over the video by half its length.
        top_k: labels that are listed.
        class_names: names of the classes: a line each, or a CSV file; by default those of the run's data.
        backend, device: by default the run's backend on the CPU.
        threads: threads on the CPU; by default all cores.

    Raises:
        CheckpointError: there is no such run, or its data were not made of videos.
        SpecError, DataError, MissingError: wrong use, a file that can't be read, or something is missing.
    """
    path = None if out is None else Path(out)
    if path is not None and path.suffix not in KINDS:
        raise SpecError(f"{path}: tagged videos are written as {', '.join(KINDS)}")
    listed = list_videos([Path(video)])
    tagger = _Tagger(target, files, window, top_k, class_names, backend, device, threads)
    tagged = []
    with show_progress(progress) as shown:
        for number, entry in enumerate(listed):
            shown("tagging", number, len(listed))
            tagged.append(tagger.tag(plain_name(entry.name), entry.path))
    if path is not None:
        _write(path, tagged, tagger)
    return TaggedVideos([tagger.plain(entry) for entry in tagged], path)


@reports_progress
def watch_videos(
    target: str | Path | None,
    folder: str | Path,
    out: str | Path,
    *,
    files: str | Path | None = None,
    window: float = WINDOW,
    top_k: int = 5,
    class_names: str | Path | None = None,
    backend: str | None = None,
    device: str = "CPU",
    threads: int | None = None,
    seconds: float = 2.0,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> int:
    """Tag each video that arrives in a folder, until it is interrupted; gives the number of videos that it tagged.

    A file is tagged when its size is the same in two looks. Files that are in `out` already are left alone, so the same
    call resumes. A file that can't be read has a line with `error`.

    Args:
        target: the folder of a run, or a checkpoint in one; None: the latest run.
        folder: the folder.
        out: JSON lines, as `infer_video` writes them.
        files, window, top_k, class_names, backend, device, threads: as those of `infer_video`.
        seconds: seconds between two looks.
        stop: is called after each look; True ends the call.

    Raises:
        CheckpointError, SpecError, DataError, MissingError: as those of `infer_video`.
    """
    place, path = Path(folder), Path(out)
    if path.suffix != ".jsonl":
        raise SpecError(f"{path}: watched videos are written as .jsonl")
    if not place.is_dir():
        raise DataError(f"{place}: there is no such folder")
    tagger = _Tagger(target, files, window, top_k, class_names, backend, device, threads)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    try:
        known = {str(json.loads(line)["id"]) for line in lines}
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: holds other lines than those of tagged videos; choose another --out") from None
    sizes: dict[Path, int] = {}
    count = 0
    with show_progress(progress) as shown:
        shown.line(f"watching {place}; Ctrl-C ends it")
        while True:
            for file in sorted(place.rglob("*")):
                name = plain_name(file.relative_to(place).as_posix())
                if name in known or file.suffix.lower() not in SUFFIXES or not file.is_file():
                    continue
                size = file.stat().st_size
                if sizes.get(file) != size:
                    sizes[file] = size
                    continue
                try:
                    record = tagger.plain(tagger.tag(name, file))
                    best = ", ".join(f"{label} {score:.3f}" for label, score in record["labels"])
                    shown.line(f"{name}: {best}")
                except DataError as error:
                    record = {"id": name, "error": str(error)}
                    shown.line(str(error))
                lines.append(json.dumps(record) + "\n")
                write_text_atomically(path, "".join(lines))
                known.add(name)
                count += 1
            if stop():
                return count
            time.sleep(seconds)


class _Tagger:
    """A model, and the extractor that its data were made with."""

    def __init__(
        self,
        target: str | Path | None,
        files: str | Path | None,
        window: float,
        top_k: int,
        class_names: str | Path | None,
        backend: str | None,
        device: str,
        threads: int | None,
    ) -> None:
        require_counts(top_k=top_k, threads=threads)
        if not window > 0:
            raise SpecError(f"window (--window) must be positive, got {window:g}")
        checkpoint, where, run = open_checkpoint(latest_run() if target is None else Path(target))
        record = (run or {}).get(VIDEOS)
        if run is None or record is None:
            raise CheckpointError(
                f"{where} does not say how features of videos are made; train on a data set of 'acz data videos'"
            )
        self.spec, self.window, self.count = checkpoint.spec, window, top_k
        self.words = f"{run['name']}, {where}"
        self.names = _names(self.spec, class_names, record.get(CLASS_NAMES))
        self.extractor = recorded_extractor(record[FEATURES], Path(files or ""), threads or cores())
        self.backend = find_backend(backend or str(run["backend"]))
        check_device(self.backend, device)
        self.backend.set_threads(threads or cores())
        self.model = build_model(self.backend, self.spec, checkpoint.parameters, device)

    def tag(self, name: str, path: Path) -> Tagged:
        """Extract the features of a video, and run the model on the whole and on windows of it. Raises DataError."""
        return _tag(name, path, self.extractor, self.backend, self.model, self.spec, self.window)

    def plain(self, video: Tagged) -> dict[str, Any]:
        """The labels of a video as plain data."""
        return _plain(video, self.names, self.count)


def _names(spec: Spec, file: str | Path | None, recorded: list[str] | None) -> list[str]:
    """The names of a model's classes."""
    names = read_labels(Path(file)) if file is not None else list(recorded or [])
    if len(names) > spec.width and file is not None:
        raise DataError(f"{file}: has {len(names):,} names, the model {spec.width:,} classes")
    return [*names, *(f"class {number}" for number in range(len(names), spec.width))][: spec.width]


def _tag(
    name: str, path: Path, extractor: Extractor, backend: Backend, model: Any, spec: Spec, window: float
) -> Tagged:
    """Extract the features of a video, and run the model on the whole and on windows of it."""
    decoded = extractor.decode(path)
    features = extractor.compute(decoded)
    missing = [wanted for wanted in spec.inputs if wanted not in features.arrays]
    if missing:
        raise DataError(f"{path}: the model reads '{missing[0]}', which the features do not have")
    arrays, rows, fps = {key: features.arrays[key] for key in spec.inputs}, len(features.times), extractor.settings.fps
    layers = list(attention_layers(spec))
    whole = backend.forward(
        model, {key: array[None] for key, array in arrays.items()}, record=[f"{layer}.weights" for layer in layers]
    )
    length = min(rows, max(1, round(window * fps)))
    starts = sorted({*range(0, rows - length + 1, max(1, length // 2)), rows - length})
    parts = {key: np.stack([array[start : start + length] for start in starts]) for key, array in arrays.items()}
    scores = backend.forward(model, parts)["output"]
    windows = [
        TaggedPart(float(features.times[start]), float(features.times[start + length - 1] + 1 / fps), np.asarray(score))
        for start, score in zip(starts, scores, strict=True)
    ]
    frames = None if decoded.frames is None else decoded.frames[:rows]
    attention: dict[str, Array] = {layer: np.asarray(whole[f"{layer}.weights"][0]).T for layer in layers}
    return Tagged(name, features.times, np.asarray(whole["output"][0]), windows, frames, attention)


def _plain(video: Tagged, names: Sequence[str], count: int) -> dict[str, Any]:
    def labels(scores: Array) -> list[list[Any]]:
        return [[names[label], round(float(scores[label]), 6)] for label in best_labels(scores, count)]

    windows = [
        {"start": round(part.start, 3), "end": round(part.end, 3), "labels": labels(part.scores)}
        for part in video.windows
    ]
    return {"id": video.name, "labels": labels(video.scores), "windows": windows}


def _write(path: Path, tagged: Sequence[Tagged], tagger: _Tagger) -> None:
    if path.suffix == ".html":
        write_text_atomically(path, draw_page(tagged, tagger.names, tagger.words, tagger.count))
    elif path.suffix == ".jsonl":
        write_text_atomically(path, "".join(json.dumps(tagger.plain(video)) + "\n" for video in tagged))
    else:
        arrays = {
            "id": np.array([video.name for video in tagged]),
            "scores": np.stack([video.scores for video in tagged]),
        }

        def save(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)

        write_atomically(path, save)
