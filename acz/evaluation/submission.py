"""The submission of the challenge of 2019: a line for each class, `class,video:start video:start ...`, best first.

The official program sorts the scores as they are printed, with six digits, in a heap for each class. Its bytes depend
on that where scores are equal, so it is the same here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from acz.data.base import Data
from acz.data.batching import BATCH
from acz.evaluation.metrics.precision import average_precision
from acz.evaluation.metrics.rated import K, mean_of_classes
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.texts import decode_text

HEADER = "Class,Segments"


def write_submission(parts: Iterable[tuple[list[str], Array, Array]], out: Path, most: int = K) -> None:
    """Write a submission.

    Args:
        parts: ids `video:start` of some segments, and their labels and scores, (segments, k), best first.
        out: the file to write.
        most: the most segments of each class; the best ones are kept.
    """
    ids: list[str] = []
    owners, classes, scores = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for names, labels, values in parts:
        owners.append(np.repeat(np.arange(len(names)) + len(ids), labels.shape[1]))
        classes.append(labels.ravel())
        scores.append(np.array([float(f"{value:g}") for value in values.ravel().tolist()]))
        ids += names
    owner, label, score = (np.concatenate(columns) for columns in (owners, classes, scores))
    by_class = np.argsort(label, kind="stable")
    known, first, counts = np.unique(label, return_index=True, return_counts=True)
    ends = np.cumsum(counts)
    with out.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{HEADER}\n")
        for place in np.argsort(first).tolist():  # classes in the order in which they come first
            own = by_class[ends[place] - counts[place] : ends[place]]
            heap: list[tuple[float, str]] = []
            for pair in zip(score[own].tolist(), (ids[number] for number in owner[own].tolist()), strict=True):
                if len(heap) < most:
                    heapq.heappush(heap, pair)
                else:
                    heapq.heappushpop(heap, pair)
            heap.sort(key=lambda pair: -pair[0])
            file.write(f"{known[place]},{' '.join(name for _, name in heap)}\n")


def is_submission(path: Path) -> bool:
    """Say whether a file begins as a submission does."""
    try:
        with path.open("rb") as file:
            return file.read(len(HEADER) + 1).rstrip() == HEADER.encode()
    except OSError:
        return False


def read_submission(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Read the segments of each class, best first. Raises DataError where a line can't be read."""
    with path.open("rb") as file:
        next(file)
        for number, line in enumerate(file, 2):
            label, comma, names = decode_text(line).rstrip("\r\n").partition(",")
            if not comma or not (label.isascii() and label.isdigit()):
                raise DataError(f"{path}: line {number}: it must be a class, a comma and segments as video:start")
            yield int(label), names.split()


def score_submission(
    path: Path, split: Data, progress: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, float], int]:
    """Compute MAP@K of a submission against the rated segments of a split.

    Segments that the split does not rate for a class count nowhere.

    Returns:
        `map_at_k` and the number of `examples`; and the most segments that a class has in the file.

    Raises:
        DataError: the file is damaged, or the segments of the split are not rated.
    """
    ratings: dict[int, dict[str, bool]] = {}
    for examples in split.in_order(BATCH, []):
        if not examples.rated:
            raise DataError(f"{split.folder}/{split.name}: a submission needs rated segments; add --segments rated")
        names = examples.ids or split.ids(examples.numbers)
        for row, label in np.argwhere(examples.labels >= 0).tolist():
            ratings.setdefault(label, {})[names[row]] = bool(examples.labels[row, label] > 0)
        progress(len(names))
    precisions = {label: 0.0 for label, own in ratings.items() if any(own.values())}
    longest = 0
    for label, segments in read_submission(path):
        own = ratings.get(label, {})
        longest = max(longest, len(segments))
        hits = np.array([own[name] for name in dict.fromkeys(segments) if name in own], np.bool_)
        if label in precisions:
            ranks: Array = -np.arange(len(hits), dtype=np.float64)
            precisions[label] = average_precision(ranks, hits, sum(own.values()), K)
    return {"map_at_k": mean_of_classes(np.array(list(precisions.values()))), "examples": float(len(split))}, longest
