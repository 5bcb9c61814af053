"""`acz export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from acz.cli.options import Json, print_json, print_table


def export_command(
    target: Annotated[
        Path | None, typer.Argument(help="A run's folder or a checkpoint.", show_default="the latest run's best")
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--format", help="mindir, onnx, saved-model, paddle, pt2, or all; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The artefact: a file, or a folder (saved-model, paddle).", show_default="RUN/export/model..."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the runtime when it is verified and timed.")] = 1,
    as_json: Json = False,
) -> None:
    """Write a model for a runtime, prove it there, and keep it only if it is the same function.

    The artefact runs in a fresh process with its own runtime, on several batch sizes, padded frames, zeros and huge values, and is
    compared with the NumPy reference within a derived bound. If one check fails nothing is written and the exit code is 1. Any checkpoint goes to
    any format, whichever framework trained it. A report lies beside the artefact.
    """
    from acz.exchange.artefacts.formats import find_format, formats
    from acz.exchange.artefacts.making import export
    from acz.foundation.errors import SpecError
    from acz.foundation.progress import progress
    from acz.training.run_folder import open_checkpoint

    if not names:
        raise SpecError(f"which --format? One of {', '.join(formats())}, or all")
    chosen = [find_format(name) for name in (list(formats()) if "all" in names else dict.fromkeys(names))]
    if out is not None and len(chosen) > 1:
        raise SpecError("--out names one artefact; leave it out to export several formats")
    checkpoint, source, _ = open_checkpoint(target)
    reports: dict[str, Any] = {}
    for one in chosen:
        path = out or source.parent / "export" / (f"model{one.suffix}" if one.suffix else one.name)
        with progress() as shown:
            reports[one.name] = {"artefact": str(path), **export(checkpoint, source, one, path, shown, threads)}
        if not as_json:
            print(f"{path}: verified with {one.runtime}; report in {path.name}.report.json")
    if as_json:
        print_json(reports)
        return
    rows = [
        [
            name,
            f"{report['measured']:.1e}",
            f"{report['bound']:.1e}",
            f"{report['size_bytes'] / 2**20:.2f}",
            *(f"{value:.2f}" for value in report["latency_ms"].values()),
        ]
        for name, report in reports.items()
    ]
    headers = ["format", "measured", "bound", "MiB", "ms, batch 1", "ms, batch 256"]
    print_table(headers, rows, right={1, 2, 3, 4, 5})
