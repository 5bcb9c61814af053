"""Results as data: CSV with the environment in every row, and tables of it for documents and terminals."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
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


GAP = 2
"""Spaces between the columns of a table in plain text."""
NARROWEST = 8
"""Letters that every column of text keeps, however narrow the terminal is."""


def plain_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = (), width: int | None = None
) -> str:
    """Lay out a table without borders.

    Args:
        headers: The names of the columns.
        rows: The cells, row by row.
        right: The columns that are aligned to the right, from 0.
        width: The most letters of a line. Cells are wrapped to keep it; None wraps nothing.

    Raises:
        ValueError: A column has no name, or the name of another column.
    """
    if not all(headers) or len(set(headers)) < len(headers):
        raise ValueError(f"each column needs a name of its own, got {', '.join(map(repr, headers))}")
    table = [list(headers), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if width is not None:
        _narrow(widths, table, right, width)
    lines = []
    for row in [table[0], ["-" * letters for letters in widths], *table[1:]]:
        parts = [_wrapped(cell, letters) for cell, letters in zip(row, widths, strict=True)]
        for place in range(max(map(len, parts))):
            cells = [part[place] if place < len(part) else "" for part in parts]
            aligned = [
                cell.rjust(letters) if column in right else cell.ljust(letters)
                for column, (cell, letters) in enumerate(zip(cells, widths, strict=True))
            ]
            lines.append((" " * GAP).join(aligned).rstrip())
    return "\n".join(lines)


def _wrapped(cell: str, letters: int) -> list[str]:
    """The lines of a cell. All have the indentation of the first."""
    if len(cell) <= letters:
        return [cell]
    indentation = " " * min(len(cell) - len(cell.lstrip()), letters - 1)
    return textwrap.wrap(
        cell.strip(), letters, initial_indent=indentation, subsequent_indent=indentation, break_on_hyphens=False
    )


def _narrow(widths: list[int], table: list[list[str]], right: Collection[int], width: int) -> None:
    """Take letters from the widest columns of text until a line fits. Words stay whole if that is enough."""
    text = [column for column in range(len(widths)) if column not in right]
    words = [max(map(_longest_word, column)) for column in zip(*table, strict=True)]
    for least in (words, [min(NARROWEST, letters) for letters in widths]):
        while sum(widths) + GAP * (len(widths) - 1) > width:
            wide = [column for column in text if widths[column] > least[column]]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1


def _longest_word(cell: str) -> int:
    """The number of letters of the longest word, with the indentation of the cell."""
    return len(cell) - len(cell.lstrip()) + max(map(len, cell.split()), default=0)


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
