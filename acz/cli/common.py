"""Options that several commands share, and output."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change one value of the configuration; may be repeated."),
]
Backend = Annotated[
    str | None,
    typer.Option(help="torch, tensorflow, paddle or mindspore. Default: the first that is installed."),
]
Device = Annotated[str, typer.Option(help="CPU, GPU, GPU:1, Ascend, Ascend:3 and so on; never replaced in silence.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads on the CPU.", show_default="all cores")]


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, default=str, allow_nan=False)
    sys.stdout.write("\n")


def print_table(headers: list[str], rows: list[list[str]], right: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    """A table without borders: for terminals, pipes and documents alike."""
    table = [headers, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(headers))]
    for number, row in enumerate(table):
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * w for w in widths))
