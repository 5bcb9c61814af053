"""The commands `acz convert` and `acz average`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import (
    Json,
    Set,
    given_overrides,
    model_names,
    native_kinds,
    print_result,
)


def convert_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="A file or folder of another system, or the common beginning of a TensorFlow checkpoint's files. "
            "With --to: a checkpoint or the folder of a run."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SYSTEM",
            help="The system that wrote the file: flash-mnist, mindspore-port, paddle-video, paddle-nextvlad, linrongc, "
            "pomonam, youtube8m-circulant, willow, or acz for a module of acz.build that its framework saved.",
            show_default="recognised from the file, if only one fits",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="CONFIG",
            help="The model of the file: a name from 'acz models', or a YAML file.",
            autocompletion=model_names,
            show_default="found from the names and shapes in the file, if only one model fits",
        ),
    ] = None,
    assignments: Set = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Accept a name that is missing or left over, or has another shape or formula. Wildcards work. "
            "May be repeated.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Batch size of the original, where its function depends on it (pomonam: 1)."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="The key that holds the weights, in a file with other entries or several sets of weights.",
            show_default="the usual one: state_dict, model, ...",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Write a checkpoint as a file of a framework: torch, keras (--out FILE.keras), paddle or mindspore (--out FILE.ckpt).",
            autocompletion=native_kinds,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read weights of another system into a checkpoint, or write a checkpoint as a framework's own file.

    Every name in the file must fit the model. The command lists names that do not fit and fails, unless --allow names
    them. Nothing in a file is executed.
    """
    from acz.api.exchange import convert, save_native
    from acz.foundation.errors import SpecError

    if to is not None:
        if source or model or assignments or allow or batch_size or key:
            raise SpecError(
                "--to writes a checkpoint, which has its own model; "
                "leave out --from, --model, --set, --allow, --batch-size and --key"
            )
        print_result(save_native(file, to, out), as_json)
        return
    converted = convert(
        file,
        out,
        model=model,
        system=source,
        overrides=given_overrides(assignments),
        allow=allow or [],
        batch_size=batch_size,
        key=key,
    )
    if converted.guessed:
        print(f"acz: {file} was recognised as {converted.system}; use --from for another system", file=sys.stderr)
    if converted.model:
        print(f"acz: its model is {converted.model}", file=sys.stderr)
    for note in converted.notes:
        print(f"acz: {note}", file=sys.stderr)
    print_result(converted, as_json)


def average_command(
    targets: Annotated[
        list[Path],
        typer.Argument(help="Checkpoints of one model, or folders of runs, whose best ones are taken."),
    ],
    out: Annotated[Path, typer.Option(help="The checkpoint to write.")],
    weights: Annotated[
        str | None,
        typer.Option(help="The weight of each checkpoint, with commas between them.", show_default="all the same"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the mean of several checkpoints' weights: of one run's epochs, or of runs that start from one checkpoint.

    For runs that began from different values, average their predictions instead: 'acz ensemble'.
    """
    from acz.api.exchange import average_checkpoints
    from acz.foundation.errors import SpecError

    try:
        shares = [float(word) for word in weights.split(",")] if weights else None
    except ValueError:
        raise SpecError(f"--weights must be numbers with commas between them, got '{weights}'") from None
    print_result(average_checkpoints(targets, out, weights=shares), as_json)
