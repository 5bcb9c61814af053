"""The command `acz report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import (
    ClassNames,
    Device,
    Json,
    OldLabels,
    Threads,
    backend_names,
    print_result,
    run_folders,
)
from acz.foundation.processes.environment import configure_process, cores


def report_command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs.", show_default="the latest run", autocompletion=run_folders),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The HTML file to write.", show_default="RUN/report.html; report.html for several runs"),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="The backend that computes predictions and attention.",
            show_default="numpy where it is quick, else that of each run",
            autocompletion=backend_names,
        ),
    ] = None,
    device: Device = "CPU",
    mnist: Annotated[
        Path | None,
        typer.Option(help="Folder with the four IDX files of MNIST, to show frames that were made from them."),
    ] = None,
    videos: Annotated[int, typer.Option(min=0, max=50, help="Number of videos whose attention is shown.")] = 3,
    parity: Annotated[
        Path | None,
        typer.Option(
            help="A file of 'acz parity-check --csv'.",
            show_default="parity.csv in a run, or the results of the checkout",
        ),
    ] = None,
    class_names: ClassNames = None,
    labels: OldLabels = None,
    threads: Threads = cores(),
    as_json: Json = False,
) -> None:
    """Write one HTML page about one or several runs: curves, confusions, attention, configuration and parity.

    Runs of different frameworks can be on one page. The page is one file that needs no network.
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
        class_names=class_names or labels,
        threads=threads,
    )
    print_result(page, as_json)
