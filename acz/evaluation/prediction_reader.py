"""Reading files of predictions, part by part: npz, JSON lines and CSV, as acz.evaluation.predictions describes them."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from acz.evaluation.metrics import NOTHING
from acz.evaluation.predictions import HEADER, Part
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.npy import read_header
from acz.foundation.files.texts import OTHER_BYTES, texts_of

ROWS = 4096
"""The number of videos that are read at once."""
MOST_ROWS, MOST_COLUMNS = 10**12, 10**9
"""The largest sizes of an array in a file."""
MARK = "\ufeff"
"""The byte order mark that spreadsheets put before a text."""
FIELDS = re.compile(r'("(?:[^"]|"")*"|[^",]*),("(?:[^"]|"")*"|[^"]*)')
"""Two fields of a line of CSV, with or without quotes."""
Row = tuple[int, str, list[int], list[float]]
"""The number of a line, an id, its labels and their scores."""


def read_predictions(path: Path) -> Iterator[Part]:
    """Read the predictions of a file, in its order, ROWS videos at a time.

    Text files may begin with a byte order mark, have empty lines, and end lines with a carriage return. Fields of a CSV
    file may have quotes.

    Raises:
        DataError: the file is missing, damaged or not a file of predictions, or has a video twice. The message has the
            line where there is one.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    seen: set[str] = set()
    try:
        for part in _parts(path):
            for name in part.ids:
                if name in seen:
                    raise DataError(f"{path}: video {name!r} occurs twice")
                seen.add(name)
            yield part
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged, or not a file of predictions (npz, JSON lines or CSV): {error}") from None


def _parts(path: Path) -> Iterator[Part]:
    with path.open("rb") as file:
        packed = file.read(2) == b"PK"
    if packed:
        yield from _read_npz(path)
        return
    rows: list[Row] = []
    for row in _read_text(path):
        rows.append(row)
        if len(rows) == ROWS:
            yield _gathered(path, rows)
            rows = []
    if rows:
        yield _gathered(path, rows)


def _read_text(path: Path) -> Iterator[Row]:
    """Read the rows of a text file. Its first line with content tells JSON lines from CSV."""
    with path.open(encoding="utf-8", errors=OTHER_BYTES, newline="\n") as file:
        parse: Callable[[str], tuple[str, list[int], list[float]]] | None = None
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(MARK).strip("\r\n") if number == 1 else line.strip("\r\n")
            if not content.strip():
                continue
            if parse is None:
                parse = _json_row if content.lstrip().startswith("{") else _csv_row
                if parse is _csv_row:
                    if [title.strip() for title in _fields(content)] != HEADER.rstrip().split(","):
                        raise DataError(
                            f"{path}: neither an npz file nor JSON lines nor a CSV file of predictions: "
                            f"its first line is not {HEADER.rstrip()}"
                        )
                    continue
            try:
                yield (number, *parse(content))
            except (ValueError, OverflowError, RecursionError) as error:
                raise DataError(f"{path}: line {number}: {error}") from None
        if parse is None:
            raise DataError(f"{path}: holds no predictions")


def _fields(line: str) -> list[str]:
    """The two fields of a line of CSV, of any length. A line that has others gives none."""
    if '"' not in line:
        return line.split(",", 1)
    match = FIELDS.fullmatch(line)
    return [field[1:-1].replace('""', '"') if field[:1] == '"' else field for field in match.groups()] if match else []


def _csv_row(line: str) -> tuple[str, list[int], list[float]]:
    """Read a line of CSV. Raises ValueError."""
    name, pairs = fields if len(fields := _fields(line)) == 2 else ("", "")
    words = pairs.split()
    if not name or len(words) % 2:
        raise ValueError("it must be an id, a comma, and pairs of label and score")
    if "_" in pairs or not pairs.isascii():  # Python would take these for numbers
        word = next(word for word in words if "_" in word or not word.isascii())
        raise ValueError(f"{word!r} is not a number")
    return name, _numbers(int, words[::2], "label"), _numbers(float, words[1::2], "score")


def _numbers(kind: Callable[[str], Any], words: list[str], title: str) -> list[Any]:
    """Read words as numbers. Raises ValueError that names the first bad word."""
    try:
        return list(map(kind, words))
    except ValueError:
        for word in words:
            try:
                kind(word)
            except ValueError:
                raise ValueError(f"{word!r} is not a {title}") from None
        raise


def _json_row(line: str) -> tuple[str, list[int], list[float]]:
    """Read a line of JSON. Raises ValueError."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("labels"), list):
        raise ValueError("it must be an object with 'id', a text, and 'labels', a list")
    labels, scores = [], []
    for entry in row["labels"]:
        label, score = (entry.get("label"), entry.get("score")) if isinstance(entry, dict) else (None, None)
        if type(label) is not int or isinstance(score, bool) or not isinstance(score, (int, float)):
            raise ValueError(f"{entry!r:.80} must have a 'label', an integer, and a 'score', a number")
        labels.append(label)
        scores.append(float(score))
    return row["id"], labels, scores


def _gathered(path: Path, rows: list[Row]) -> Part:
    """Rows as arrays, which are as wide as the longest row. Raises DataError."""
    width = max(len(labels) for _, _, labels, _ in rows)
    labels, scores = np.full((len(rows), width), NOTHING), np.zeros((len(rows), width))
    for place, (number, _, own_labels, own_scores) in enumerate(rows):
        if own_labels and min(own_labels) < 0:
            raise DataError(f"{path}: line {number}: {min(own_labels)} is not a label")
        try:
            labels[place, : len(own_labels)] = own_labels
        except OverflowError:
            raise DataError(f"{path}: line {number}: {max(own_labels)} is not a label") from None
        scores[place, : len(own_scores)] = own_scores
    part = Part([name for _, name, _, _ in rows], labels, scores)
    _check(part, lambda place: f"{path}: line {rows[place][0]}")
    return part


def _read_npz(path: Path) -> Iterator[Part]:
    with (
        zipfile.ZipFile(path) as archive,
        _array(archive, "ids") as (ids, length),
        _array(archive, "labels") as (labels, shape),
        _array(archive, "scores") as (scores, shape_of_scores),
    ):
        if len(length) != 1 or len(shape) != 2 or shape != shape_of_scores or shape[0] != length[0]:
            raise DataError(
                f"{path}: ids, labels and scores are {length}, {shape} and {shape_of_scores}, not (n), (n, k) and (n, k)"
            )
        for start in range(0, length[0], ROWS):
            count = min(ROWS, length[0] - start)
            names, classes, values = ids(count), labels(count), scores(count)
            if names.dtype.kind != "U" or classes.dtype.kind not in "iu" or values.dtype.kind != "f":
                kinds = f"{names.dtype}, {classes.dtype} and {values.dtype}"
                raise DataError(f"{path}: ids, labels and scores must be text, integers and numbers, got {kinds}")
            part = Part(texts_of(names), classes.astype(np.int64), values)
            _check(part, lambda place: f"{path}: row {start + place}")  # noqa: B023 (called at once)
            yield part


@contextmanager
def _array(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[Callable[[int], Array], tuple[int, ...]]]:
    """Open an array in an npz: give a function that reads the next `count` rows, and the shape."""
    with archive.open(f"{name}.npy") as file:
        dtype, shape, fortran, _ = read_header(file)
        if fortran or len(shape) > 2 or shape[0] >= MOST_ROWS or (len(shape) == 2 and shape[1] >= MOST_COLUMNS):
            raise ValueError(f"{name} is not an array (rows) or (rows, columns)")
        width = int(np.prod(shape[1:], dtype=np.int64))

        def rows(count: int) -> Array:
            content = file.read(count * width * dtype.itemsize)
            return np.frombuffer(content, dtype, count * width).reshape(count, *shape[1:])

        yield rows, shape


def _check(part: Part, place_of: Callable[[int], str]) -> None:
    """Check the predictions. `place_of` names the file and the place of a video.

    Raises DataError where a score is not finite, a label is below 0, or a video has a label twice.
    """
    listed = part.labels != NOTHING
    labels = np.sort(part.labels, axis=1)
    twice = np.zeros_like(listed)
    twice[:, 1:] = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != NOTHING)
    for problem, bad, values in (
        ("a score that is not finite", ~np.isfinite(part.scores) & listed, part.scores),
        ("a label below 0", part.labels < NOTHING, part.labels),
        ("a label twice", twice, labels),
    ):
        if bad.any():
            row = int(bad.any(axis=1).argmax())
            value = values[row, int(bad[row].argmax())]
            raise DataError(f"{place_of(row)}: video {part.ids[row]!r} has {problem}: {value}")
