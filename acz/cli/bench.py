"""The command `acz bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, backend_lists, print_json, print_table


def bench_command(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A group: loop, step, train, inference, circulant, data, youtube8m, metrics, vlad, zoo, precision, processes or "
            "start. May be repeated.",
            show_default="all",
        ),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            help="Names of backends, with commas between them.",
            show_default="all installed",
            autocompletion=backend_lists,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Number of CPU threads. 1 gives the steadiest figures.")] = 1,
    rounds: Annotated[
        int, typer.Option(min=1, help="Number of rounds. In a round each of the compared programs takes a turn.")
    ] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of one turn, in seconds.")] = 3.0,
    csv: Annotated[
        Path | None, typer.Option(help="Also write every figure, with versions, to this CSV file.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure training steps, inference, reading, start-up and memory in every backend, beside a baseline.

    The compared programs take turns, so that a busy machine slows both. The ratio is the median of the ratios of all
    turns.
    """
    from acz.api.studies import COLUMNS, bench

    names = [name.strip() for name in backends.split(",")] if backends else None
    report = bench(only, backends=names, threads=threads, rounds=rounds, seconds=seconds)
    if csv is not None:
        report.to_csv(csv)
    if as_json:
        print_json(report.to_json())
    else:
        print_table(list(COLUMNS), report.table(), right={4, 6, 8})
