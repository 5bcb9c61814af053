"""Labels in text files: JSON, CSV, or a line for each video."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acz.data.vocabulary import read_text
from acz.foundation.errors import DataError

LABEL_COLUMNS = ("label", "labels", "class", "classes")
NAME_COLUMNS = ("id", "video_id", "video", "name")
"""Titles of the columns that are read, in any case of letters."""
BETWEEN = re.compile(r"[\s,;|]+")
"""The signs between the classes of a video."""


@dataclass(frozen=True)
class LabelFile:
    """The content of a file: a class or a list of classes for each video."""

    labels: list[Any]
    place: Callable[[int], str]
    """Names the place of a video's labels in the file."""
    names: list[str] = field(default_factory=list)
    """The names of the videos; empty where the file has none."""


def read_label_file(path: Path) -> LabelFile:
    """Read the labels of a text file.

    - .json: a list with a class, or a list of classes, for each video; or a mapping from the name of each video.
    - .csv, .tsv with titles: a column `label` or `labels`, and perhaps one with names, `id`.
    - .csv, .tsv, .txt without titles: a line for each video, with its classes.

    Classes are separated by spaces, commas, semicolons or bars.

    Raises:
        DataError: The file is missing, or not such a file; the message has the line and the value.
    """
    if path.suffix == ".json":
        return _read_json(path)
    if path.suffix not in (".csv", ".tsv", ".txt"):
        raise DataError(f"{path}: labels are read from .npy, .json, .csv, .tsv and .txt files")
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path}: holds no labels")
    if path.suffix != ".txt" and not re.fullmatch(r"[-+\d\s,;|.\"]*", lines[0]):
        return _read_columns(path, lines)
    labels = [_classes(path, number, line.replace('"', "")) for number, line in enumerate(lines, start=1)]
    return LabelFile(_alone(labels), lambda row: f"line {row + 1}")


def _read_json(path: Path) -> LabelFile:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON: {error}") from None
    if isinstance(content, dict):
        names = list(content)
        return LabelFile(list(content.values()), lambda row: f"video {names[row]!r}", names)
    if not isinstance(content, list):
        raise DataError(f"{path}: must hold a list with the labels of each video, or a mapping from names to labels")
    return LabelFile(content, lambda row: f"row {row}")


def _read_columns(path: Path, lines: list[str]) -> LabelFile:
    separator = next((sign for sign in ("\t", ";") if sign in lines[0]), ",")
    rows = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=separator)
    titles = [title.strip().lower() for title in next(rows)]
    column = next((titles.index(title) for title in LABEL_COLUMNS if title in titles), None)
    name = next((titles.index(title) for title in NAME_COLUMNS if title in titles), None)
    if column is None:
        raise DataError(
            f"{path}: its first line must be classes, or the titles of columns, such as id,label; it is {lines[0]!r:.80}"
        )
    labels, names, numbers = [], [], []
    try:
        for row in rows:
            if not any(row):
                continue
            if len(row) <= max(column, name or 0):
                raise DataError(f"{path}: line {rows.line_num}: has {len(row)} columns, the first line {len(titles)}")
            labels.append(_classes(path, rows.line_num, row[column]))
            numbers.append(rows.line_num)
            names += [] if name is None else [row[name]]
    except csv.Error as error:
        raise DataError(f"{path}: line {rows.line_num}: is not CSV: {error}") from None
    return LabelFile(_alone(labels), lambda row: f"line {numbers[row]}", names)


def _classes(path: Path, line: int, text: str) -> list[int]:
    """The classes of a line or a cell. Raises DataError."""
    words = [word for word in BETWEEN.split(text.strip()) if word]
    for word in words:
        if not re.fullmatch(r"[-+]?\d{1,18}(\.0*)?", word, re.ASCII):
            raise DataError(
                f"{path}: line {line}: {word!r:.80} is not the number of a class; classes count from 0, and "
                "'acz infer --class-names' takes their names"
            )
    return [int(word.partition(".")[0]) for word in words]


def _alone(labels: list[list[int]]) -> list[Any]:
    """The classes themselves, where each video has exactly one."""
    return [row[0] for row in labels] if all(len(row) == 1 for row in labels) else labels
