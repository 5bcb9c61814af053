"""The command `acz data from-arrays`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acz.cli.options import Json, print_result

EXAMPLE = "rgb=rgb.npy,audio=audio.npy,labels=labels.csv"


def from_arrays(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    train: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=FILE,...",
            help=f"The arrays of the training videos, as in {EXAMPLE}.",
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=FILE,...",
            help="Those of the videos that training evaluates on; without them it is --test.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="NAME=FILE,...", help="Those of the test videos.", show_default=False)
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPLIT:NAME=FILE,...",
            help="Those of another split, as in new:rgb=new.npy for 'acz infer --split new'. May be repeated.",
            show_default=False,
        ),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The share of the training videos that become --validation, as in 0.2.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of --hold-out.")] = 0,
    classes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The labels are 0 .. classes - 1.",
            show_default="the columns of the labels, or the largest class and 1",
        ),
    ] = None,
    several_labels: Annotated[
        bool | None,
        typer.Option(
            "--several-labels/--one-label",
            help="Store zeros and ones for each class, or a class a video.",
            show_default="as the labels are",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a data set of your own features, from .npy files.

    NAME is a name of your own for features, such as rgb, or one of these:

    - labels: a class a video, zeros and ones (videos, classes), or lists of classes: .npy, .json, .csv, .tsv or .txt

    - id: the names of the videos: .npy, .json or .txt

    - lengths or mask: the frames that are valid, (videos) or (videos, frames); rgb.lengths or rgb.mask of one input

    FILE of features is an array (videos, frames, features) or (videos, features), or a folder or a glob of .npy files
    (frames, features), one a video. Large files are read part by part. After an interruption, type the same command.
    """
    from acz.api.datasets import write_data
    from acz.foundation.errors import SpecError

    given = {"train": train, "validation": validation, "test": test}
    options = [(name, text, f"--{name}") for name, text in given.items() if text is not None]
    for text in split or []:
        name, colon, arrays = text.partition(":")
        if not colon:
            raise SpecError(f"--split needs SPLIT:NAME=FILE, got '{text}'; for example --split new:rgb=new.npy")
        options.append((name, arrays, "--split"))
    if not options:
        raise SpecError(f"give the arrays of a split, as in --train {EXAMPLE}")
    splits: dict[str, dict[str, str]] = {}
    for name, arrays, option in options:
        if name in splits:
            raise SpecError(f"{option}: the split '{name}' is given twice")
        splits[name] = _named_files(arrays, option)
    written = write_data(out, splits, classes=classes, several_labels=several_labels, hold_out=hold_out, seed=seed)
    print_result(written, as_json)


def _named_files(text: str, option: str) -> dict[str, str]:
    """The files by name of an option such as rgb=a.npy,labels=b.npy. A part without = belongs to the file before it."""
    from acz.foundation.errors import SpecError

    files: dict[str, str] = {}
    last = ""
    for part in text.split(","):
        name, equals, file = part.partition("=")
        if not equals and last:
            files[last] += f",{part}"
            continue
        if not equals or not name or not file:
            raise SpecError(f"{option} needs NAME=FILE, got '{part}'; for example {option} {EXAMPLE}")
        if name in files:
            raise SpecError(f"{option}: {name} is given twice")
        files[last := name] = file
    return files
