"""Results as data: CSV with the environment in every row, and the tables of documents that are written from it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from acz.foundation.files.atomic import write_atomically


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of equal keys, completely or not at all. Raises OSError."""
    rows = list(rows)

    def save(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else [])
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, save)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by the names in its first line. Raises OSError."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def markdown(headers: list[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def replace_table(text: str, name: str, table: str) -> str:
    """A document with the table between `<!-- table: NAME -->` and `<!-- end -->` replaced.

    Raises:
        ValueError: The document has no such place.
    """
    start = text.index(f"<!-- table: {name} -->")
    end = text.index("<!-- end -->", start)
    return f"{text[:start]}<!-- table: {name} -->\n{table}\n{text[end:]}"
