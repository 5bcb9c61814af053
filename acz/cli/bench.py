"""The command `acz bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, print_json, print_table


def bench_command(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A group: loop, step, train, inference, circulant, data, youtube8m, metrics, vlad or start. May be repeated.",
            show_default="all",
        ),
    ] = None,
    backends: Annotated[
        str | None, typer.Option(help="Names of backends, with commas between them.", show_default="all installed")
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
    from acz.backend.registry import installed
    from acz.backend.versions import environment
    from acz.foundation.errors import MissingError, SpecError, nearest
    from acz.foundation.files.tables import write_csv
    from acz.foundation.progress import show_progress
    from acz.studies.benchmarks.groups import GROUPS
    from acz.studies.benchmarks.measure import Bench, to_table

    here = installed()
    wanted = [name.strip() for name in backends.split(",")] if backends else here
    for name in wanted:
        if name not in here:
            raise MissingError(f"backend '{name}' is not installed; installed: {', '.join(here) or 'none'}")
    for name in only or []:
        if name not in GROUPS:
            raise SpecError(f"there is no benchmark '{name}'; {nearest(name, GROUPS)}")
    chosen = [name for name in GROUPS if name in (only or GROUPS)]
    if not wanted:
        raise MissingError(
            'nothing to measure: no framework is installed; pip install "acz[torch]" brings the smallest'
        )
    rows = []
    with show_progress() as shown:
        bench = Bench(wanted, threads, rounds, seconds, shown)
        for name in chosen:
            for row in GROUPS[name](bench):
                rows.append(row)
                ratio = f"  {row.ratio:.2f} of {row.against}" if row.ratio else ""
                shown.line(f"{row.what}, {row.backend} {row.setting}: {row.value:.3g} {row.unit}{ratio}")
    if not rows:
        raise MissingError(f"nothing to measure: {', '.join(wanted)} have no part in {', '.join(chosen)}")
    table = to_table(rows, threads, environment())
    if csv is not None:
        write_csv(csv, table)
    if as_json:
        print_json(table)
        return
    headers = ["group", "what", "backend", "setting", "value", "unit", "ratio", "against", "floor"]
    print_table(headers, [[row[key] for key in headers] for row in table], right={4, 6, 8})
