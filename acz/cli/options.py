"""Options that several commands share, and the output of results."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer


def model_names(incomplete: str) -> list[str]:
    """Complete the name of a model."""
    from acz.api.completion import complete_model

    return complete_model(incomplete)


def layer_names(incomplete: str) -> list[str]:
    """Complete the type of a layer."""
    from acz.api.completion import complete_layer

    return complete_layer(incomplete)


def backend_names(incomplete: str) -> list[str]:
    """Complete the name of a backend."""
    from acz.api.completion import complete_backend

    return complete_backend(incomplete)


def backend_lists(incomplete: str) -> list[str]:
    """Complete names of backends with commas between them."""
    from acz.api.completion import complete_backends

    return complete_backends(incomplete)


def format_names(incomplete: str) -> list[str]:
    """Complete the name of an export format."""
    from acz.api.completion import complete_format

    return complete_format(incomplete)


def native_kinds(incomplete: str) -> list[str]:
    """Complete the kind of a framework's own file."""
    from acz.api.completion import complete_native

    return complete_native(incomplete)


def run_folders(incomplete: str) -> list[str]:
    """Complete the folder of a run."""
    from acz.api.completion import complete_run

    return complete_run(incomplete)


Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on standard output.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one value of the configuration, as in train.epochs=3. May be repeated.",
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(
        help="A backend: torch, tensorflow, paddle or mindspore.",
        show_default="the first installed",
        autocompletion=backend_names,
    ),
]
Device = Annotated[str, typer.Option(help="CPU, GPU, GPU:1, Ascend, Ascend:3 and so on. A missing device is an error.")]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="float32 or float64; or tf32, bfloat16 or float16: matrix products of rounded operands, everything else float32.",
        show_default="as in the configuration of the run, else float32",
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Number of CPU threads.", show_default="all cores")]
SharedThreads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of CPU threads, of all processes together; with --engine ray of each.",
        show_default="all cores; with --engine ray 1",
    ),
]
Sampling = Annotated[
    str | None,
    typer.Option(
        help="YouTube-8M: the frames to read: all, first:100, strata:100 and so on, or a mapping as in a configuration.",
        show_default="as in the run or the configuration, else all",
    ),
]
Verify = Annotated[
    str | None,
    typer.Option(
        help="YouTube-8M: the records whose checksums are compared: first (of each shard), all or none.",
        show_default="as in the run or the configuration, else first",
    ),
]
OnBadRecord = Annotated[
    str | None,
    typer.Option(
        help="YouTube-8M: fail (stop at the first bad record) or skip (leave out bad records).",
        show_default="as in the run or the configuration, else fail",
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option(
        "--class-names",
        help="Names of the classes: a text file, one a line, or a CSV with Index and Name, as YouTube-8M's vocabulary.csv.",
        show_default=False,
    ),
]
OldLabels = Annotated[Path | None, typer.Option("--labels", hidden=True, help="The old name of --class-names.")]
OldVocabulary = Annotated[Path | None, typer.Option("--vocabulary", hidden=True, help="The old name of --class-names.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="YouTube-8M: number of processes that read the data. 0: read in this process.",
        show_default="as in the run or the configuration, else 0",
    ),
]
Segments = Annotated[
    str | None,
    typer.Option(
        help="YouTube-8M: read segments of five frames in place of videos: rated (those with ratings) or all.",
        show_default="as in the run or the configuration, else videos; infer takes all where the run read rated",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of processes of this host that work together; they share the threads, and a GPU each. "
        "With --engine ray they are of a cluster. docs/distributed.md has several hosts.",
        show_default="1, or those that a launcher started",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="local, or ray: the processes run on the nodes of a Ray cluster, which must all see the same folders. Each "
        "takes --threads CPUs (1) and with --device GPU a GPU.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The address of a running Ray cluster: HOST:PORT or auto.",
        show_default="start a cluster on this machine",
    ),
]
Resources = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N",
        help="With --engine ray: what a process takes of a node, CPU=2 and so on. May be repeated.",
        show_default="CPUs for --threads, and its device",
    ),
]
Retries = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="With --engine ray: number of further tries where a process or its node is lost.",
        show_default="3",
    ),
]


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    json.dump(value, sys.stdout, indent=2, default=str, allow_nan=False)
    sys.stdout.write("\n")


def print_table(headers: list[str], rows: list[list[str]], right: Collection[int] = ()) -> None:
    """Print a table without borders, which suits terminals, pipes and documents.

    Cells are wrapped to the width of the terminal, or to COLUMNS. In a pipe or a file every row is one line.

    Args:
        headers: the names of the columns.
        rows: the cells, row by row.
        right: the columns that are aligned to the right, from 0.
    """
    from acz.foundation.files.tables import plain_table

    print(plain_table(headers, rows, right, _width()))


def print_text(text: str, indent: int = 0) -> None:
    """Print a paragraph, wrapped as tables are. `indent` is the number of spaces before each line."""
    width = _width()
    if text and width is not None:
        spaces = " " * indent
        lines = textwrap.wrap(
            text, width, initial_indent=spaces, subsequent_indent=spaces, break_on_hyphens=False, break_long_words=False
        )
        print("\n".join(lines))
    else:
        print(" " * indent + text)


def _width() -> int | None:
    """The width of the terminal; None in a pipe or a file, where lines may have any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None


def print_result(result: Any, as_json: bool) -> None:
    """Print a result of the API, in words or as one JSON document."""
    if as_json:
        print_json(result.to_json())
    else:
        print(result)


def given_overrides(assignments: list[str] | None) -> dict[str, Any]:
    """Read `--set train.epochs=3` as {"train.epochs": 3}. Values are YAML. Raises SpecError."""
    from acz.foundation.files.yaml import parse_value

    overrides = {}
    for text in assignments or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            from acz.foundation.errors import SpecError

            raise SpecError(f"--set needs path=value, got '{text}'; for example --set train.epochs=3")
        overrides[key] = parse_value(value, f"--set {key}")
    return overrides


def given_amounts(words: list[str] | None) -> dict[str, float]:
    """Read `["GPU=1"]` as {"GPU": 1.0}. Raises SpecError."""
    from acz.foundation.errors import SpecError

    amounts = {}
    for word in words or []:
        name, equals, amount = word.partition("=")
        try:
            amounts[name] = float(amount)
        except ValueError:
            equals = ""
        if not name or not equals or not 0 <= amounts[name] < float("inf"):
            raise SpecError(f"--resources needs NAME=N, got '{word}'; for example --resources GPU=1")
    return amounts


def given_reading(
    sampling: str | None,
    verify: str | None = None,
    on_bad_record: str | None = None,
    workers: int | None = None,
    segments: str | None = None,
) -> dict[str, Any]:
    """Give the settings of reading that the options change. Raises SpecError."""
    options = {
        "sampling": None if sampling is None else _sampling(sampling),
        "verify": verify,
        "on_bad_record": on_bad_record,
        "workers": workers,
        "segments": segments,
    }
    return {name: value for name, value in options.items() if value is not None}


def _sampling(text: str) -> Any:
    """Read `strata:100` as {type: strata, frames: 100}, and text that begins with a brace as YAML."""
    from acz.foundation.errors import SpecError
    from acz.foundation.files.yaml import parse_value

    if text.startswith("{"):
        return parse_value(text, "--sampling")
    kind, colon, frames = text.partition(":")
    if colon and not (frames.isascii() and frames.isdigit()):
        raise SpecError(f"--sampling: the number of frames must be a number, as in strata:100, got '{text}'")
    return {"type": kind, "frames": int(frames)} if colon else {"type": kind}
