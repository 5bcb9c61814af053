"""The command `acz backend-check`."""

from __future__ import annotations

from typing import Annotated

import typer

from acz.cli.options import Json, backend_names, print_json, print_table


def backend_check(
    name: Annotated[
        str, typer.Argument(help="The name of a backend, as 'acz backends' lists it.", autocompletion=backend_names)
    ],
    as_json: Json = False,
) -> None:
    """Check that a backend keeps what acz relies on beside equal numbers.

    For authors of backends: devices, types of arrays, copies, best classes, losses, steps, the optimiser's state, and
    the framework's own files. 'acz parity-check' compares numbers. The exit code is 1 if a promise is broken.
    """
    from acz.api.parity import check_backend
    from acz.foundation.errors import CheckFailed

    report = check_backend(name)
    if as_json:
        print_json(report.to_json())
    else:
        rows = [[promise, "broken" if lines else "kept"] for promise, lines in report.promises.items()]
        print_table(["promise", "verdict"], rows)
        print(report)
    if not report.passed:
        raise CheckFailed("\n  ".join([f"backend '{name}' breaks promises:", *report.failures]))
