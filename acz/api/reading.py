"""How the data of a run are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from acz.model.spec import Spec


def require_youtube8m(given: dict[str, Any], location: Path) -> None:
    """Raise SpecError where settings are given that the data set at a location does not have."""
    from acz.data.registry import recognise
    from acz.foundation.errors import SpecError

    if given and not given.keys() <= recognise(location).Reading.model_fields.keys():
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise SpecError(
            f"{location} is no YouTube-8M, which {options} is for; leave {'it' if len(given) == 1 else 'them'} out"
        )


def choose_reading(
    of_run: BaseModel | None, given: dict[str, Any], location: Path, spec: Spec | None = None
) -> BaseModel:
    """The reading of the data set at a location: that of the run, changed by what is given.

    Without a run the number of classes is that of the model, or else that of the folder, where it says how many it has.
    A line on standard error says what is assumed.

    Raises:
        SpecError: A setting is not one of this data set, or its value is not valid.
    """
    from acz.data.registry import DEFAULT, recognise
    from acz.foundation.progress import progress
    from acz.foundation.settings import validate

    require_youtube8m(given, location)
    data_set = recognise(location)
    if of_run is not None:
        return validate(type(of_run), {**of_run.model_dump(), **given}, "reading")
    # a data set without settings has the reading of a configuration that says nothing
    kind = data_set.Reading if data_set.Reading.model_fields else DEFAULT.Reading
    classes = spec.width if spec else data_set.describe(location).classes
    start = {"classes": classes} if classes is not None and "classes" in kind.model_fields else {}
    if spec is not None and "sampling" in data_set.Reading.model_fields and "sampling" not in given:
        with progress() as shown:
            shown.line(
                f"{location}: all frames are taken, since the model's file does not say; --sampling strata:100 takes 100"
            )
    return validate(kind, {**start, **given}, "reading")
