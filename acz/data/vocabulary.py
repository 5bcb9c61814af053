"""Names of classes."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError

COLUMNS = (("index", "name"), ("label_id", "label_name"), ("index", "display_name"))
"""The columns of YouTube-8M's vocabulary, of 2018 and of 2016, and of AudioSet's; in any case of letters."""
SEPARATORS = (",", ";", "\t")
MOST_CLASSES = 10_000_000


def read_labels(path: Path) -> list[str]:
    """Read the names of the classes.

    The file has a name in each line, or its first line has the titles of columns, Index and Name, as in YouTube-8M's
    vocabulary, or index and display_name, as in AudioSet's. A CSV file needs them. The file is UTF-8, or UTF-16 with a
    byte order mark. Lines end at line feeds. Columns are separated by commas, semicolons or tabs.

    Raises:
        DataError: The file is missing, or not such a file.
    """
    text = read_text(path)
    header = text.partition("\n")[0].removesuffix("\r")
    for separator in SEPARATORS:
        titles = _titles(header, separator)
        for index, name in COLUMNS:
            if index in titles and name in titles:
                return _read_columns(path, text, separator, titles.index(index), titles.index(name))
    if path.suffix.lower() not in (".csv", ".tsv"):
        lines = text.split("\n")
        return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    raise DataError(
        f"{path}: a CSV file of names of classes needs the columns Index and Name; its first line is {header!r:.200}"
    )


def _titles(header: str, separator: str) -> list[str]:
    """The titles of columns in a file's first line, in small letters."""
    try:
        return [title.strip().lower() for title in next(csv.reader([header], delimiter=separator), [])]
    except csv.Error:  # a field beyond csv's limit
        return []


def read_classes(path: Path) -> Array:
    """Read numbers of classes, one a line, sorted, int64 (classes). Other lines, such as a header, are passed over.

    Raises:
        DataError: The file is missing, or lists no class.
    """
    words = {line.strip() for line in read_text(path).splitlines()}
    classes = sorted(
        number for word in words if word.isascii() and word.isdigit() and (number := int(word)) < MOST_CLASSES
    )
    if not classes:
        raise DataError(f"{path}: lists no class; it must have the number of a class in each line")
    return np.array(classes, np.int64)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark, which is left out. Raises DataError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read as labels: {error.strerror}") from None
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except ValueError as error:
        raise DataError(f"{path}: is not UTF-8 ({error}); save it as UTF-8") from None


def _read_columns(path: Path, text: str, separator: str, index: int, name: int) -> list[str]:
    names: dict[int, str] = {}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        next(rows)
        for row in rows:
            if not any(row):
                continue
            number = int(row[index])
            if not 0 <= number < MOST_CLASSES:
                raise DataError(f"{path}: line {rows.line_num}: the Index {number} is not the number of a class")
            if names.setdefault(number, row[name]) != row[name]:
                raise DataError(f"{path}: line {rows.line_num}: class {number} has two names")
    except (ValueError, IndexError, csv.Error):
        raise DataError(f"{path}: line {rows.line_num} has no number in Index, or no Name") from None
    if not names:
        raise DataError(f"{path}: holds no labels")
    return [names.get(number, "") for number in range(max(names) + 1)]
