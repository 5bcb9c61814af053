"""`acz convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, Set, given_overrides, print_result


def convert_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="A file or folder of another system, or what a TensorFlow checkpoint's files begin with; "
            "with --to, a checkpoint or a run's folder."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SYSTEM",
            help="flash-mnist, mindspore-port, paddle-video, pomonam, youtube8m-circulant, or acz for what a framework saved of acz.build's module.",
            show_default="told from the file, if only one fits",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="CONFIG", help="The model that it is: a name from 'acz models', or a YAML file."),
    ] = None,
    assignments: Set = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Let a name that is missing, left over, of another shape or formula pass; wildcards work; may be repeated.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Videos in a batch of the original, where its function depends on that (pomonam: 1)."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="KIND", help="Write a checkpoint as torch, keras, paddle or mindspore.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring weights of another system in, or write a checkpoint as a framework's own file.

    Everything in the file must fit the model; what does not is listed, and refused unless allowed by name. Nothing in a file is run.
    """
    from acz.api.exchange import convert, save_native
    from acz.foundation.errors import SpecError

    if to is not None:
        if source or model or assignments or allow or batch_size:
            raise SpecError(
                "--to writes a checkpoint, which knows its model: "
                "leave out --from, --model, --set, --allow and --batch-size"
            )
        print_result(save_native(file, to, out), as_json)
        return
    if model is None:
        raise SpecError("--model says which model the file is, --to which kind of file to write; one of them is needed")
    converted = convert(
        file,
        out,
        model=model,
        system=source,
        overrides=given_overrides(assignments),
        allow=allow or [],
        batch_size=batch_size,
    )
    if converted.guessed:
        print(f"acz: {file} was taken for {converted.system}; --from says otherwise", file=sys.stderr)
    for note in converted.notes:
        print(f"acz: {note}", file=sys.stderr)
    print_result(converted, as_json)
