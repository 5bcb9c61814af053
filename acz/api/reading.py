"""How the data of a run are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from acz.data.youtube8m.settings import Reading
    from acz.model.spec import Spec


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
