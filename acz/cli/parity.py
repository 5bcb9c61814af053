"""The command `acz parity-check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, backend_lists, model_names, print_json, print_table


def parity_check(
    pattern: Annotated[
        str,
        typer.Argument(
            help="A name, wildcards, or a YAML file. A model is checked in its tiny variant.",
            autocompletion=model_names,
        ),
    ] = "*",
    backends: Annotated[
        str | None,
        typer.Option(
            help="Names of backends, with commas between them. onnx is the file that level 5 writes.",
            show_default="all installed",
            autocompletion=backend_lists,
        ),
    ] = None,
    level: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=7,
            help="A level: 1 outputs, 2 gradients, 3 training, 4 checkpoints, 5 exports, "
            "6 several processes, 7 what 'acz backend-check' lists. May be repeated.",
            show_default="all but 6; 1 to 3 in a low precision",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="A precision of levels 1 to 3: float64, float32, tf32, bfloat16 or float16. May be repeated.",
            show_default="float64 and float32",
        ),
    ] = None,
    mutant: Annotated[
        str | None,
        typer.Option(help="Put a known mistake into every backend. The check must then fail. See acz.parity.mutants."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Also write every check, with versions, to this CSV file.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that every backend computes the same function as the NumPy reference.

    Runs the tiny variant of each model, and small models of every layer setting, in one process for each backend.
    Prints the largest difference beside its bound. The exit code is 1 if a difference exceeds its bound.
    """
    from acz.api.parity import check_parity
    from acz.foundation.errors import CheckFailed

    names = [name.strip() for name in backends.split(",")] if backends else None
    report = check_parity(pattern, backends=names, levels=level, precisions=precision, mutant=mutant)
    if csv is not None:
        report.to_csv(csv)
    if as_json:
        print_json(report.to_json())
    else:
        numbers = [title for kind in report.precisions for title in (kind.value, f"{kind.value} bound")]
        print_table(
            ["model", "backend", "level", *numbers, "verdict"], report.summary(), right=range(3, 3 + len(numbers))
        )
        print(report)
    if not report.passed:
        raise CheckFailed("\n  ".join(["parity does not hold:", *(report.failures or ["nothing was compared"])]))
