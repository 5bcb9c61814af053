"""`acz convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, Set, print_json


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
    from acz.foundation.errors import SpecError
    from acz.foundation.progress import progress
    from acz.zoo.config import parse_overrides

    if to is not None:
        from acz.exchange.weights.outgoing import to_native

        if source or model or assignments or allow or batch_size:
            raise SpecError(
                "--to writes a checkpoint, which knows its model: "
                "leave out --from, --model, --set, --allow and --batch-size"
            )
        with progress() as shown:
            native, count = to_native(file, to, out, shown)
        if as_json:
            print_json({"file": str(out), "kind": to, "arrays": count, "read_with": native.opened})
        else:
            print(f"{out}: {count} arrays, read back with the same bits; {native.opened}")
        return
    if model is None:
        raise SpecError("--model says which model the file is, --to which kind of file to write; one of them is needed")
    from acz.exchange.weights.incoming import convert

    with progress() as shown:
        done = convert(file, model, parse_overrides(assignments or []), out, source, allow or [], shown, batch_size)
    if done.guessed:
        print(f"acz: {file} was taken for {done.system}; --from says otherwise", file=sys.stderr)
    for note in done.notes:
        print(f"acz: {note}", file=sys.stderr)
    if as_json:
        print_json(
            {
                "checkpoint": str(out),
                "system": done.system,
                "guessed": done.guessed,
                "spec_hash": done.spec.hash,
                "parameters": done.spec.parameter_count,
                "optimizer": bool(done.optimizer),
                "notes": done.notes,
            }
        )
    else:
        print(f"{out}: {done.spec.parameter_count:,} parameters from {done.system}")
