"""`acz parity-check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.common import Json, print_json, print_table


def parity_check(
    pattern: Annotated[
        str, typer.Argument(help="A model's name, wildcards, or a YAML file; a model stands for its tiny variant.")
    ] = "*",
    backends: Annotated[
        str | None, typer.Option(help="Names with commas between them.", show_default="all that are installed")
    ] = None,
    level: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=4, help="1 outputs, 2 gradients, 3 training, 4 checkpoints; may be repeated.", show_default="all"
        ),
    ] = None,
    mutant: Annotated[
        str | None,
        typer.Option(help="Put a known mistake into every backend; the check must then fail. See acz.parity.mutants."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Also write every check to this file, with versions.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that every backend computes the same function as the NumPy reference.

    Runs each model's tiny variant, and small models of every layer setting, in one process a backend, and prints the
    largest difference measured beside the bound it must keep. Exit code 1 if one is not kept.
    """
    from acz.backend import installed, registered
    from acz.errors import CheckFailed, MissingError, SpecError, nearest
    from acz.parity.cases import cases
    from acz.parity.levels import check
    from acz.parity.mutants import MUTANTS
    from acz.parity.report import apply_waivers, failures, read_waivers, summary, to_json, to_table
    from acz.progress import progress
    from acz.results import write_csv

    chosen = cases(pattern)
    wanted = list(dict.fromkeys(name.strip() for name in backends.split(","))) if backends else installed()
    for name in wanted:
        if name not in registered() and name != "numpy":
            raise SpecError(f"there is no backend '{name}'; {nearest(name, registered())}")
        if name not in [*installed(), "numpy"]:
            raise MissingError(f"backend '{name}' is not installed; pip install \"acz[{name}]\" brings it")
    if not wanted:
        raise MissingError(
            'nothing to compare: no framework is installed; pip install "acz[torch]" brings the smallest'
        )
    missing = [name for name in registered() if name not in installed()] if not backends else []
    if mutant and mutant not in MUTANTS:
        raise SpecError(f"there is no mutant '{mutant}'; {nearest(mutant, MUTANTS)}")
    wrap = f"acz.parity.mutants:{mutant}" if mutant else ""
    levels = sorted(set(level or [1, 2, 3, 4]))
    complete = pattern == "*" and levels == [1, 2, 3, 4] and not mutant
    parts = len(chosen) * (len([n for n in levels if n < 4]) + (4 in levels) * (1 + len(wanted))) * len(wanted)
    done = 0
    with progress() as shown:

        def advance(text: str) -> None:
            nonlocal done
            done += 1
            shown("parity", done, parts, text)

        rows = apply_waivers(check(chosen, wanted, levels, advance, wrap), read_waivers(), complete)
    report = to_json(rows, missing)
    if csv is not None:
        write_csv(csv, to_table(rows, chosen))
    if as_json:
        print_json(report)
    else:
        headers = ["model", "backend", "level", "float64", "bound", "float32", "bound", ""]
        print_table(headers, summary(rows), right={3, 4, 5, 6})
        for name in missing:
            print(f"{name}: missing, not compared")
        print(f"{sum(row.passed for row in rows)} of {len(rows)} checks passed, {len(wanted)} backends")
    if not report["passed"]:
        raise CheckFailed("parity does not hold:\n  " + "\n  ".join(failures(rows)))
