"""The command `acz parity-check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, print_json, print_table


def parity_check(
    pattern: Annotated[
        str, typer.Argument(help="A name, wildcards, or a YAML file. A model is checked in its tiny variant.")
    ] = "*",
    backends: Annotated[
        str | None,
        typer.Option(
            help="Names of backends, with commas between them. onnx is the file that level 5 writes.",
            show_default="all installed",
        ),
    ] = None,
    level: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=5,
            help="A level: 1 outputs, 2 gradients, 3 training, 4 checkpoints, 5 exports. May be repeated.",
            show_default="all",
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
    from importlib.util import find_spec

    from acz.backend.registry import infos, installed
    from acz.foundation.errors import CheckFailed, MissingError, SpecError, nearest
    from acz.foundation.files.tables import write_csv
    from acz.foundation.progress import show_progress
    from acz.parity.cases import cases
    from acz.parity.comparison import check
    from acz.parity.levels import LEVELS
    from acz.parity.levels.exports import ONNX
    from acz.parity.mutants import MUTANTS
    from acz.parity.report import failures, summary, to_json, to_table
    from acz.parity.waivers import apply_waivers, read_waivers

    chosen = cases(pattern)
    levels = sorted(set(level or LEVELS))
    have_onnx = all(find_spec(module) for module in ("onnx", "onnxruntime"))
    here = installed() + [ONNX] * (have_onnx and 5 in levels)
    wanted = list(dict.fromkeys(name.strip() for name in backends.split(","))) if backends else here
    for name in wanted:
        if name not in (*infos(), ONNX):
            raise SpecError(f"there is no backend '{name}'; {nearest(name, [*infos(), ONNX])}")
        if name not in (*here, "numpy"):
            install = "acz[export]" if name == ONNX else infos()[name].install
            raise MissingError(
                f"'{name}' is not installed, or has no part in level {levels}; pip install \"{install}\""
            )
    if not [name for name in wanted if name != ONNX] and levels != [5]:
        raise MissingError(
            'nothing to compare: no framework is installed; pip install "acz[torch]" brings the smallest'
        )
    missing = [] if backends else [name for name in infos() if name not in (*here, "numpy")]
    if not backends and 5 in levels and not have_onnx:
        missing.append(ONNX)
    if mutant and mutant not in MUTANTS:
        raise SpecError(f"there is no mutant '{mutant}'; {nearest(mutant, MUTANTS)}")
    wrap = MUTANTS[mutant] if mutant else None
    complete = pattern == "*" and levels == list(LEVELS) and not mutant
    frameworks = len([name for name in wanted if name != ONNX])
    of_framework = len([n for n in levels if n < 4]) + (4 in levels) * 2  # it saves, and loads
    parts = len(chosen) * (frameworks * of_framework + (5 in levels) * len(wanted))
    done = 0
    with show_progress() as shown:

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
