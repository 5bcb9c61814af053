"""The reading of a data set: the settings of a run, changed by the user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from acz.data.registry import DEFAULT, recognise
from acz.foundation.errors import SpecError
from acz.foundation.progress import show_progress
from acz.foundation.settings import validate
from acz.model.spec import Spec


def require_settings(given: Mapping[str, Any], location: Path) -> None:
    """Raise SpecError where settings are given that the data set at a location does not have."""
    if given and not recognise(location).Reading.model_fields:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise SpecError(
            f"{location} is not YouTube-8M, which {options} is for; leave {'it' if len(given) == 1 else 'them'} out"
        )


def choose_reading(
    kept: BaseModel | None, given: Mapping[str, Any], location: Path, spec: Spec | None = None
) -> BaseModel:
    """The reading of the data set at a location: that of a run (`kept`), changed by what is given.

    Without a run the number of classes is that of the model. Without a model it is what the data set says, which reads
    it when it is opened. A line on standard error says what is assumed.

    Raises:
        SpecError: a setting is not one of this data set, or its value is not valid.
    """
    require_settings(given, location)
    data_set = recognise(location)
    if kept is not None:
        return validate(type(kept), {**kept.model_dump(), **given}, "reading")
    # a data set without settings has the reading of a configuration that says nothing
    kind = data_set.Reading if data_set.Reading.model_fields else DEFAULT.Reading
    start = {"classes": spec.width} if spec is not None and "classes" in kind.model_fields else {}
    if spec is not None and "sampling" in data_set.Reading.model_fields and "sampling" not in given:
        with show_progress() as shown:
            shown.line(
                f"{location}: all frames are taken, since the model's file does not say; "
                "--sampling strata:100 takes 100"
            )
    return validate(kind, {**start, **given}, "reading")


def say_classes(location: Path, spec: Spec) -> None:
    """Say on standard error how many classes labels have, where the data set does not say what the model expects."""
    if "classes" not in recognise(location).Reading.model_fields:
        return
    known, outputs = recognise(location).describe(location).classes, spec.width
    with show_progress() as shown:
        if known is None:
            shown.line(
                f"{location} does not say how many classes it has; the model has {outputs:,}, labels 0 .. {outputs - 1}"
            )
        elif known < outputs:
            shown.line(
                f"{location}: labels are 0 .. {known - 1}; the model has {outputs:,} outputs, and no video shows the others"
            )
