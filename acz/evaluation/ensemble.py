"""The weighted mean of several models' predictions for the same videos."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from acz.evaluation.metrics import NOTHING
from acz.evaluation.predictions import Kind, Part, join, read_predictions, write_part
from acz.foundation.errors import DataError, SpecError


def mean(parts: Sequence[Part], weights: Sequence[float], top_k: int | None = None) -> Part:
    """Average predictions for the same videos: the mean of a label is sum of weight * score / sum of weights.

    A label that a file does not list has the score 0 there. Means are rounded to the type of the files, then ranked. Of
    equal means the smaller label comes first.

    Args:
        parts: the predictions of each file for the same videos.
        weights: the weight of each file.
        top_k: the number of labels of each video to keep. None: as many as the shortest list of labels has.

    Raises:
        DataError: a video has fewer labels than `top_k`, or infinite scores of both signs.
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
    if np.isnan(means).any():
        raise DataError(
            f"video {parts[0].ids[owner[int(np.isnan(means).argmax())]]!r} has infinite scores of both signs"
        )
    order = np.lexsort((label, -means, owner))
    available = np.bincount(owner, minlength=videos)  # (videos), labels in all files
    count = top_k or max(1, min(int((part.labels != NOTHING).sum(axis=1).min()) for part in parts))
    if (available < count).any():
        short = int((available < count).argmax())
        raise DataError(
            f"video {parts[0].ids[short]!r} has {available[short]} labels in all files, fewer than --top-k {count}"
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
) -> int:
    """Write the mean of prediction files to a file. Only the ids and a part of each file are in memory.

    Args:
        files: files of predictions, npz or CSV.
        out: the file to write.
        kind: the kind of `out`.
        weights: the weight of each file. None: all files have the same weight.
        top_k: the number of labels of each video to keep. None: as many as the shortest list of the first videos has.
        progress: is told the number of finished videos.

    Returns:
        The number of videos.

    Raises:
        SpecError: the weights are not positive numbers, one for each file.
        DataError: the files do not have the same videos in the same order.
    """
    weights = list(weights or [1.0] * len(files))
    if len(weights) != len(files) or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise SpecError(f"--weights must be {len(files)} positive numbers with commas between them, one for each file")
    done = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        written = []
        for parts in _together(files):
            means = mean(parts, weights, top_k)
            top_k = means.labels.shape[1]
            written.append(Path(folder) / f"{done:012d}.{kind}")
            write_part(written[-1], [means])
            done += len(means.ids)
            progress(done)
        if not written:
            raise DataError(f"{files[0]} has no videos")
        join(written, out, kind)
    return done


def _together(files: Sequence[Path]) -> Iterator[list[Part]]:
    """Read the files side by side, part by part. Raises DataError at the first video that differs."""
    done = 0
    for parts in zip_longest(*(read_predictions(path) for path in files)):
        ids = [part.ids if part else [] for part in parts]
        for path, own in zip(files[1:], ids[1:], strict=True):
            for place, (first, other) in enumerate(zip_longest(ids[0], own)):
                if first != other:
                    raise DataError(
                        f"prediction {done + place}: {files[0]} has {_named(first)}, {path} has {_named(other)}; "
                        "files must have the same videos in the same order"
                    )
        done += len(ids[0])
        yield [part for part in parts if part]


def _named(name: str | None) -> str:
    return "none" if name is None else repr(name)
