"""Names of classes."""

from __future__ import annotations

import csv
from pathlib import Path

from acz.foundation.errors import DataError


def read_labels(path: Path) -> list[str]:
    """Read the names of the classes.

    The file has a name in each line, or is a CSV file with the columns Index and Name, as YouTube-8M's vocabulary.

    Raises:
        DataError: The file is missing, or not such a file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read as labels: {error}") from None
    if path.suffix.lower() != ".csv":
        return text.splitlines()
    try:
        rows = {int(row["Index"]): row["Name"] for row in csv.DictReader(text.splitlines())}
    except (KeyError, TypeError, ValueError, csv.Error):
        raise DataError(f"{path}: a CSV file of labels needs the columns Index and Name") from None
    if not rows or min(rows) < 0 or max(rows) >= 10_000_000:
        raise DataError(f"{path}: holds no labels, or an Index that is not the number of a class")
    return [rows.get(index) or "" for index in range(max(rows) + 1)]
