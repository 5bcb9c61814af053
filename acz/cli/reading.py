"""Options of `train`, `eval` and `infer` that say how YouTube-8M is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from acz.data.youtube8m.settings import Reading
    from acz.model.spec import Spec

Sampling = Annotated[
    str | None,
    typer.Option(
        help="YouTube-8M: which frames: all, first:100, strata:100 and so on, or a mapping as in a configuration.",
        show_default="the run's or configuration's; else all",
    ),
]
Verify = Annotated[
    str | None,
    typer.Option(
        help="YouTube-8M: records whose checksums are compared: first (of each shard), all or none.",
        show_default="the run's or configuration's; else first",
    ),
]
OnBadRecord = Annotated[
    str | None,
    typer.Option(
        help="YouTube-8M: fail at the first bad record, or skip all of them.",
        show_default="the run's or configuration's; else fail",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="YouTube-8M: processes that read; 0 reads in this one.",
        show_default="the run's or configuration's; else 0",
    ),
]


def given_settings(
    sampling: str | None, verify: str | None, on_bad_record: str | None, workers: int | None
) -> dict[str, Any]:
    """The settings of `Reading` that the options change. Raises SpecError for a sampling that is none."""
    given = {
        "sampling": None if sampling is None else _sampling(sampling),
        "verify": verify,
        "on_bad_record": on_bad_record,
        "workers": workers,
    }
    return {name: value for name, value in given.items() if value is not None}


def _sampling(text: str) -> Any:
    """`strata:100` as {type: strata, frames: 100}; what begins with a brace as YAML."""
    from acz.foundation.errors import SpecError
    from acz.zoo.config import parse_overrides

    if text.startswith("{"):
        return parse_overrides([f"sampling={text}"])["sampling"]
    kind, colon, frames = text.partition(":")
    if colon and not (frames.isascii() and frames.isdigit()):
        raise SpecError(f"--sampling: the frames must be a number, as in strata:100, got '{text}'")
    return {"type": kind, "frames": int(frames)} if colon else {"type": kind}


def require_youtube8m(given: dict[str, Any], where: Path) -> None:
    """Raise SpecError where settings of its reading are given for another data set."""
    from acz.data.youtube8m.location import is_youtube8m
    from acz.foundation.errors import SpecError

    if given and not is_youtube8m(where):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise SpecError(
            f"{where} is no YouTube-8M, which {options} is for; leave {'it' if len(given) == 1 else 'them'} out"
        )


def choose_reading(of_run: Reading | None, given: dict[str, Any], where: Path, spec: Spec | None = None) -> Reading:
    """How YouTube-8M at `where` is read: as the run says, changed by what is given; a model without a run by its classes.

    Without a model the classes are those of the folder, where it says how many it has. What is assumed is said in a line on standard error. Raises SpecError.
    """
    from acz.data.youtube8m.location import classes_of, is_youtube8m
    from acz.data.youtube8m.settings import Reading
    from acz.foundation.progress import progress
    from acz.foundation.settings import validate

    require_youtube8m(given, where)
    if of_run:
        start = of_run.model_dump()
    else:
        classes = spec.width if spec else classes_of(where)
        start = {} if classes is None else {"classes": classes}
    if of_run is None and spec is not None and "sampling" not in given and is_youtube8m(where):
        with progress() as shown:
            shown.line(
                f"{where}: all frames are taken, since the model's file does not say; --sampling strata:100 takes 100"
            )
    return validate(Reading, {**start, **given}, "reading")
