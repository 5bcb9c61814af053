"""The part of a report that says what the runs' best checkpoints mistake for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from acz.data.base import Description
from acz.foundation.arrays import Array
from acz.studies.reports.confusion import Digits, by_digit, matrix, most_confused, most_missed
from acz.studies.reports.curves import number
from acz.studies.reports.page import folded, note, table
from acz.studies.reports.run_comparison import Reported

FEW = 20
"""Classes of which a whole matrix is still read."""
MOST = 10
"""Classes of the highest average precision that are listed, and of the lowest."""

Predicted = tuple[Reported, Description, Mapping[str, Array]]
"""A run, the description of its data set, and the arrays of `predictions.predict`."""


def mistakes(predicted: Sequence[Predicted], names: Sequence[str] | None = None) -> str:
    """Tables for each run; runs on Flash-MNIST side by side, by digit. `names` are the classes', where videos have several labels."""
    flash = [
        (run, by_digit(found["labels"], found["best"]))
        for run, description, found in predicted
        if description.symbols and run.spec.width == description.classes and "best" in found
    ]
    parts = [_digits(flash)] if flash else []
    of_flash = {run.label for run, _ in flash}
    for run, _, found in predicted:
        if run.label in of_flash:
            continue
        parts.append(_single(run, found) if "best" in found else _several(run, found, names or ()))
    return "\n".join(parts)


def _digits(flash: Sequence[tuple[Reported, Digits]]) -> str:
    labels = [run.label for run, _ in flash]
    parts = []
    for caption, name in (
        ("Recall: of the videos that show a digit, how many it is seen in", "recall"),
        ("Precision: of the videos a digit is seen in, how many show it", "precision"),
    ):
        rows = [[str(digit), *(_share(getattr(found, name)[digit]) for _, found in flash)] for digit in range(10)]
        parts.append(table(caption, ["digit", *labels], rows))
    most = max(int(np.flatnonzero(found.wrong).max(initial=0)) for _, found in flash)
    rows = [
        [str(count), *(_share(found.wrong[count] / found.wrong.sum()) for _, found in flash)]
        for count in range(most + 1)
    ]
    parts.append(
        table("Videos by the number of digits that are wrong (missed, or seen falsely)", ["digits", *labels], rows)
    )
    for place, (run, found) in enumerate(flash):
        caption = f"{run.label}: videos where the row's digit was missed and the column's was seen without being there"
        headers = ["missed \\ seen", *map(str, range(10))]
        rows = [[str(digit), *(f"{value:,}" for value in found.instead[digit])] for digit in range(10)]
        content = table(caption, headers, rows)
        parts.append(content if place == 0 else folded(f"The same of {run.label}", content))
    return "\n".join(parts)


def _share(value: float) -> str:
    return "" if np.isnan(value) else number(value, True)


def _single(run: Reported, found: Mapping[str, Array]) -> str:
    labels, best = found["labels"], found["best"]
    if run.spec.width <= FEW:
        classes = range(run.spec.width)
        counts = matrix(labels, best, run.spec.width)
        rows = [[str(label), *(f"{counts[label, seen]:,}" for seen in classes)] for label in classes]
        caption = f"{run.label}: videos by true class (rows) and predicted class (columns)"
        return table(caption, ["true \\ predicted", *map(str, classes)], rows)
    pairs = most_confused(labels, best)
    if not pairs:
        return note(f"{run.label}: every video is right.")
    rows = [[str(true), str(seen), f"{count:,}"] for true, seen, count in pairs]
    return table(f"{run.label}: the pairs that are confused most often", ["true", "predicted", "videos"], rows)


def _several(run: Reported, found: Mapping[str, Array], names: Sequence[str]) -> str:
    return _precisions(run, found, names) + _missed(run, found, names)


def _named(label: int, names: Sequence[str]) -> str:
    name = names[label] if label < len(names) else ""
    return f"{label} {name}".strip()


def _precisions(run: Reported, found: Mapping[str, Array], names: Sequence[str]) -> str:
    """The classes of the highest and lowest average precision, of equals those of more videos first; all of them where they are few."""
    videos, precisions = found["videos"], found["average_precision"]
    there = np.flatnonzero(videos)
    if len(there) == 0:
        return note(f"{run.label}: no video of the split has a label.")
    best, worst = (there[np.lexsort((-videos[there], sign * precisions[there]))].tolist() for sign in (-1, 1))
    headers = ["class", "average precision", "videos"]
    parts = {"best": best} if len(there) <= 2 * MOST else {"best": best[:MOST], "worst": worst[:MOST]}
    tables = []
    for which, labels in parts.items():
        rows = [[_named(label, names), _share(precisions[label]), f"{videos[label]:,}"] for label in labels]
        caption = f"{run.label}: the {len(labels)} classes that it knows {which}, of {len(there):,} that have videos"
        tables.append(table(caption, headers, rows))
    return f'<div class="charts">{"".join(tables)}</div>'


def _missed(run: Reported, found: Mapping[str, Array], names: Sequence[str]) -> str:
    right, false, missed = (found[name] for name in ("right", "false", "missed"))
    rows = []
    for label in most_missed(right, missed):
        seen = right[label] + false[label]
        recall = _share(right[label] / (right[label] + missed[label]))
        precision = _share(right[label] / seen) if seen else ""
        rows.append([_named(label, names), f"{missed[label]:,}", f"{false[label]:,}", recall, precision])
    headers = ["class", "missed", "falsely seen", "recall", "precision"]
    return table(f"{run.label}: the classes that are missed most often, at an output of 0.5", headers, rows)
