"""The command `acz export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, format_names, print_json, print_table, run_folders


def export_command(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="The folder of a run, or a checkpoint.",
            show_default="the best of the latest run",
            autocompletion=run_folders,
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="A format: mindir, onnx, paddle, pt2, saved-model, tflite, or all. May be repeated.",
            autocompletion=format_names,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file to write, or the folder (saved-model, paddle).", show_default="RUN/export/model..."
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="The type in which weights are stored: float32; in onnx also float16 or uint8; in tflite float16 or int8."
        ),
    ] = "float32",
    masks: Annotated[
        str, typer.Option(help="The type of the mask inputs: bool, uint8, or none for videos of one length.")
    ] = "bool",
    threads: Annotated[
        int, typer.Option(min=1, help="Number of threads of the runtime in the checks and timings.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Write a model for a runtime, and keep it only if the runtime computes the same function.

    The artefact runs in a new process with its own runtime, on several batch sizes, padded frames, zeros and huge
    values. Its outputs must equal those of the NumPy reference within a derived bound. If a check fails, nothing is
    written and the exit code is 1. Every checkpoint can be written in every format, whichever framework trained it. A
    report lies beside the artefact.
    """
    from acz.api.exchange import export, list_formats, require_formats
    from acz.foundation.errors import SpecError

    if not names:
        raise SpecError(f"--format is missing; give {', '.join(list_formats())} or all")
    chosen = list_formats() if "all" in names else list(dict.fromkeys(names))
    if out is not None and len(chosen) > 1:
        raise SpecError("--out names one artefact; leave it out to export several formats")
    require_formats(chosen, weights, masks)
    artefacts = []
    for name in chosen:
        artefact = export(target, name, out=out, weights=weights, masks=masks, threads=threads)
        target = artefact.checkpoint  # a run that starts meanwhile is another model
        artefacts.append(artefact)
        if not as_json:
            print(artefact)
    if as_json:
        print_json({artefact.format: artefact.to_json() for artefact in artefacts})
        return
    rows = [
        [
            artefact.format,
            f"{artefact.report['measured']:.1e}",
            f"{artefact.report['bound']:.1e}",
            f"{artefact.report['size_bytes'] / 2**20:.2f}",
            *(f"{value:.2f}" for value in artefact.report["latency_ms"].values()),
        ]
        for artefact in artefacts
    ]
    headers = ["format", "measured", "bound", "MiB", "ms, batch 1", "ms, batch 256"]
    print_table(headers, rows, right={1, 2, 3, 4, 5})
