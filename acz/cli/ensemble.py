"""`acz ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.common import Json, print_json


def ensemble_command(
    files: Annotated[list[Path], typer.Argument(help="Files of predictions, npz or CSV, of the same videos in order.")],
    out: Annotated[Path, typer.Option(help="The file to write; .npz, .jsonl or .csv.")],
    weights: Annotated[
        str | None, typer.Option(help="A number a file, with commas between them.", show_default="all the same")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", help="jsonl, npz or youtube8m-csv.", show_default="by the name of --out"),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the best labels to give.", show_default="as many as the files list"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Average predictions of several models, which `acz infer` wrote.

    A label's score is the weighted mean of its scores in the files; where a file does not list it, it counts 0.
    """
    from acz.evaluation.ensemble import ensemble
    from acz.evaluation.predictions import kind_of
    from acz.foundation.errors import SpecError
    from acz.foundation.progress import progress

    try:
        numbers = [float(word) for word in weights.split(",")] if weights else None
    except ValueError:
        raise SpecError(f"--weights must be numbers with commas between them, got '{weights}'") from None
    form = kind_of(out, kind)
    with progress() as shown:
        videos = ensemble(files, out, form, numbers, top_k, lambda done: shown("averaging", done, done))
    if as_json:
        print_json({"out": str(out), "examples": videos, "files": [str(path) for path in files]})
    else:
        print(f"{out}: the mean of {len(files)} files, {videos:,} videos")
