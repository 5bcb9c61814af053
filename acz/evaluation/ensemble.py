"""The weighted mean of several models' predictions for the same videos."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from acz.evaluation.metrics import NOTHING
from acz.evaluation.prediction_reader import read_predictions
from acz.evaluation.predictions import SUBMITTED, Kind, Part, join, write_part
from acz.foundation.errors import DataError, SpecError


def mean(parts: Sequence[Part], weights: Sequence[float], top_k: int | None = None) -> Part:
    """Average predictions for the same videos: the mean of a label is sum of weight * score / sum of weights.

    A label that a file does not list has the score 0 there. Means are rounded to the type of the files, then ranked. Of
    equal means the smaller label comes first.

    Args:
        parts: the predictions of each file for the same videos.
        weights: the weight of each file.
        top_k: the number of labels of each video to keep. None: as many as the file with the longest lists has of every
            video.

    Raises:
        DataError: a video has fewer labels than `top_k`.
    """
    total, videos = math.fsum(weights), len(parts[0].ids)
    labels = np.concatenate([part.labels for part in parts], axis=1)  # (videos, labels of all files)
    scores = np.concatenate(
        [part.scores.astype(np.float64) * (w / total) for part, w in zip(parts, weights, strict=True)], axis=1
    )
    listed = labels != NOTHING
    video = np.broadcast_to(np.arange(videos)[:, None], labels.shape)[listed]
    known, code = np.unique(labels[listed], return_inverse=True)
    pairs, place = np.unique(video * len(known) + code.reshape(-1), return_inverse=True)
    sums = np.bincount(place.reshape(-1), scores[listed], len(pairs))
    owner, label = np.divmod(pairs, max(len(known), 1))
    dtype = np.result_type(*(part.scores.dtype for part in parts))
    means = sums.astype(dtype)
    order = np.lexsort((label, -means, owner))
    available = np.bincount(owner, minlength=videos)  # (videos), labels in all files
    count = top_k or max(1, *(int((part.labels != NOTHING).sum(axis=1).min()) for part in parts))
    if (available < count).any():
        short = int((available < count).argmax())
        raise DataError(
            f"video {parts[0].ids[short]!r} has {available[short]} labels in all files, fewer than --top-k {count}; "
            f"--top-k {max(available.min(), 1)} keeps fewer of every video"
        )
    best = order[(np.cumsum(available) - available)[:, None] + np.arange(count)]  # (videos, count)
    return Part(parts[0].ids, known[label[best]], means[best])


def average(
    files: Sequence[Path],
    out: Path,
    kind: Kind,
    weights: Sequence[float] | None = None,
    top_k: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
    report: Callable[[list[int], int], None] = lambda widths, top_k: None,
) -> int:
    """Write the mean of prediction files to a file. Where the files have
    one order, only the ids and a part of each file are in memory.

    Args:
        files: files of predictions: npz, JSON lines or CSV. The first one's order is that of `out`.
        out: the file to write.
        kind: the kind of `out`.
        weights: the weight of each file. None: all files have the same weight.
        top_k: the number of labels of each video to keep. None: as many as the file with the longest lists has of every
            one of the first videos; in a CSV file, a submission, at most 20.
        progress: is told the number of finished videos.
        report: is told the most labels that each file lists of a video, and the number of labels that are kept.

    Returns:
        The number of videos.

    Raises:
        SpecError: the weights are not positive numbers, one for each file.
        DataError: the files do not have the same videos.
    """
    weights = list(weights or [1.0] * len(files))
    if len(weights) != len(files) or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise SpecError(f"--weights must be {len(files)} positive numbers with commas between them, one for each file")
    done, widths = 0, [0] * len(files)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        written = []
        for parts in _together(files):
            widths = [max(width, _listed(part)) for width, part in zip(widths, parts, strict=True)]
            means = mean(parts, weights, top_k)
            if top_k is None and kind in ("csv", "segments"):
                means = Part(means.ids, means.labels[:, :SUBMITTED], means.scores[:, :SUBMITTED])
            top_k = means.labels.shape[1]
            written.append(Path(folder) / f"{done:012d}.{kind}")
            write_part(written[-1], [means])
            done += len(means.ids)
            progress(done)
        if not written:
            raise DataError(f"{files[0]} has no videos")
        join(written, out, kind)
    report(widths, top_k or 0)
    return done


def _listed(part: Part) -> int:
    """The most labels that a part lists of a video."""
    return int((part.labels != NOTHING).sum(axis=1).max(initial=0))


class _Matched:
    """The predictions of a file, in the order of other files. Rows are in memory until they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.parts = path, read_predictions(path)
        self.waiting: dict[str, tuple[Part, int]] = {}

    def take(self, ids: list[str], first: Path) -> Part:
        """The predictions of these videos, which the file `first` has. Raises DataError where one is not in this file."""
        rows = []
        for name in ids:
            while name not in self.waiting:
                part = next(self.parts, None)
                if part is None:
                    raise DataError(
                        f"{first} has the video {name!r}, {self.path} has not; files must have the same videos"
                    )
                self.waiting |= {own: (part, row) for row, own in enumerate(part.ids)}
            rows.append(self.waiting.pop(name))
        width = max(part.labels.shape[1] for part, _ in rows)
        labels = np.full((len(rows), width), NOTHING)
        scores = np.zeros((len(rows), width), rows[0][0].scores.dtype)
        for place, (part, row) in enumerate(rows):
            labels[place, : part.labels.shape[1]] = part.labels[row]
            scores[place, : part.scores.shape[1]] = part.scores[row]
        return Part(ids, labels, scores)

    def require_end(self, first: Path) -> None:
        """Raise DataError where the file has a video that was not asked for."""
        name = next(iter(self.waiting), None)
        if name is None and (part := next(self.parts, None)):
            name = part.ids[0]
        if name is not None:
            raise DataError(f"{self.path} has the video {name!r}, {first} has not; files must have the same videos")


def _together(files: Sequence[Path]) -> Iterator[list[Part]]:
    """Read the files side by side, part by part, in the order of the first. Raises DataError where videos differ."""
    others = [_Matched(path) for path in files[1:]]
    for part in read_predictions(files[0]):
        yield [part, *(other.take(part.ids, files[0]) for other in others)]
    for other in others:
        other.require_end(files[0])
