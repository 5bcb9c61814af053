"""The section of a report about mistakes: confusions of classes and digits by the runs' best checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from acz.data.base import Description
from acz.foundation.arrays import Array
from acz.studies.reports.confusion import Digits, by_digit, matrix, most_confused, most_missed
from acz.studies.reports.curves import number
from acz.studies.reports.page import folded, note, table
from acz.studies.reports.run_comparison import ReportedRun

FEW = 20
"""The largest number of classes whose whole matrix is shown."""
MOST = 10
"""Classes that are listed from each end of the order by average precision."""

Predicted = tuple[ReportedRun, Description, Mapping[str, Array]]
"""A run, the description of its data set, and the arrays of `predictions.predict`."""


def mistakes(predicted: Sequence[Predicted], names: Sequence[str] | None = None) -> str:
    """Write the tables of each run as HTML. Runs on Flash-MNIST are compared by digit.

    Args:
        predicted: The runs with their predictions.
        names: The names of the classes, for videos of several labels.
    """
    flash = [
        (run, by_digit(arrays["labels"], arrays["best"]))
        for run, description, arrays in predicted
        if description.symbols and run.spec.width == description.classes and "best" in arrays
    ]
    parts = [_digits(flash)] if flash else []
    of_flash = {run.label for run, _ in flash}
    for run, _, arrays in predicted:
        if run.label in of_flash:
            continue
        parts.append(_one_label(run, arrays) if "best" in arrays else _several_labels(run, arrays, names or ()))
    return "\n".join(parts)


def _digits(flash: Sequence[tuple[ReportedRun, Digits]]) -> str:
    labels = [run.label for run, _ in flash]
    parts = []
    for caption, name in (
        ("Recall: the share of a digit's videos in which it is predicted", "recall"),
        ("Precision: the share of a digit's predictions that are right", "precision"),
    ):
        rows = [[str(digit), *(_share(getattr(digits, name)[digit]) for _, digits in flash)] for digit in range(10)]
        parts.append(table(caption, ["digit", *labels], rows))
    most = max(int(np.flatnonzero(digits.wrong).max(initial=0)) for _, digits in flash)
    rows = [
        [str(count), *(_share(digits.wrong[count] / digits.wrong.sum()) for _, digits in flash)]
        for count in range(most + 1)
    ]
    parts.append(
        table("Videos by the number of digits that are wrong (missed, or falsely predicted)", ["digits", *labels], rows)
    )
    for index, (run, digits) in enumerate(flash):
        caption = (
            f"{run.label}: videos where the row's digit was missed and the column's was predicted without being there"
        )
        headers = ["missed \\ predicted", *map(str, range(10))]
        rows = [[str(digit), *(f"{value:,}" for value in digits.instead[digit])] for digit in range(10)]
        content = table(caption, headers, rows)
        parts.append(content if index == 0 else folded(f"The same for {run.label}", content))
    return "\n".join(parts)


def _share(value: float) -> str:
    return "" if np.isnan(value) else number(value, True)


def _one_label(run: ReportedRun, arrays: Mapping[str, Array]) -> str:
    labels, best = arrays["labels"], arrays["best"]
    if run.spec.width <= FEW:
        classes = range(run.spec.width)
        counts = matrix(labels, best, run.spec.width)
        rows = [[str(label), *(f"{counts[label, predicted]:,}" for predicted in classes)] for label in classes]
        caption = f"{run.label}: videos by true class (rows) and predicted class (columns)"
        return table(caption, ["true \\ predicted", *map(str, classes)], rows)
    pairs = most_confused(labels, best)
    if not pairs:
        return note(f"{run.label}: every video is right.")
    rows = [[str(true), str(predicted), f"{count:,}"] for true, predicted, count in pairs]
    return table(f"{run.label}: the pairs that are confused most often", ["true", "predicted", "videos"], rows)


def _several_labels(run: ReportedRun, arrays: Mapping[str, Array], names: Sequence[str]) -> str:
    return _precisions(run, arrays, names) + _missed(run, arrays, names)


def _named(label: int, names: Sequence[str]) -> str:
    name = names[label] if label < len(names) else ""
    return f"{label} {name}".strip()


def _precisions(run: ReportedRun, arrays: Mapping[str, Array], names: Sequence[str]) -> str:
    """The classes of the highest and lowest average precision, or all of them where they are few.

    Ties go to the class of more videos.
    """
    videos, precisions = arrays["videos"], arrays["average_precision"]
    present = np.flatnonzero(videos)
    if len(present) == 0:
        return note(f"{run.label}: no video of the split has a label.")
    best, worst = (present[np.lexsort((-videos[present], sign * precisions[present]))].tolist() for sign in (-1, 1))
    headers = ["class", "average precision", "videos"]
    parts = {"best": best} if len(present) <= 2 * MOST else {"best": best[:MOST], "worst": worst[:MOST]}
    tables = []
    for end, labels in parts.items():
        rows = [[_named(label, names), _share(precisions[label]), f"{videos[label]:,}"] for label in labels]
        caption = f"{run.label}: the {len(labels)} classes that it knows {end}, of {len(present):,} that have videos"
        tables.append(table(caption, headers, rows))
    return f'<div class="charts">{"".join(tables)}</div>'


def _missed(run: ReportedRun, arrays: Mapping[str, Array], names: Sequence[str]) -> str:
    right, false, missed = (arrays[name] for name in ("right", "false", "missed"))
    rows = []
    for label in most_missed(right, missed):
        predicted = right[label] + false[label]
        recall = _share(right[label] / (right[label] + missed[label]))
        precision = _share(right[label] / predicted) if predicted else ""
        rows.append([_named(label, names), f"{missed[label]:,}", f"{false[label]:,}", recall, precision])
    headers = ["class", "missed", "falsely predicted", "recall", "precision"]
    return table(f"{run.label}: the classes that are missed most often, at an output of 0.5", headers, rows)
