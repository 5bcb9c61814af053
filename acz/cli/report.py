"""`acz report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Device, Json, Threads, print_result
from acz.foundation.processes.environment import configure_process, cores


def report_command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders.", show_default="the latest run")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The HTML file to write.", show_default="RUN/report.html; of several runs report.html"),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="What computes predictions and attention, any backend.",
            show_default="numpy where that takes seconds, else each run's own",
        ),
    ] = None,
    device: Device = "CPU",
    mnist: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four IDX files, to show frames that were made from them."),
    ] = None,
    videos: Annotated[int, typer.Option(min=0, max=50, help="Videos whose attention is shown.")] = 3,
    parity: Annotated[
        Path | None,
        typer.Option(
            help="What 'acz parity-check --csv' wrote.", show_default="parity.csv in a run, or the checkout's results"
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Names of the labels: a line each, or a CSV with Index and Name.", show_default=False),
    ] = None,
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Write one page about one run or several, whatever framework: curves, confusions, attention, configuration, proofs.

    The page holds everything that it needs and opens without a network.
    """
    configure_process(threads)
    from acz.api.studies import report

    page = report(
        runs or [],
        out,
        backend=backend,
        device=device,
        videos=videos,
        mnist=mnist,
        parity=parity,
        labels=labels,
        threads=threads,
    )
    print_result(page, as_json)
