"""Settings read from plain trees: pydantic models whose errors are SpecErrors that name the place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from acz.foundation.errors import SpecError, nearest

Settings = TypeVar("Settings", bound=BaseModel)


def validate(kind: type[Settings], value: Any, place: str) -> Settings:
    """Build settings of a pydantic class.

    Args:
        kind: The class.
        value: A mapping of its fields.
        place: The name of the mapping in errors, such as `data.reading`.

    Raises:
        SpecError: A key is not known, or a value is not valid; the message has the place and the nearest right key.
    """
    if not isinstance(value, Mapping):
        raise SpecError(f"{place}: must be a mapping, got {value!r}")
    _no_truth_for_number(kind, value, place)
    try:
        return kind.model_validate(dict(value))
    except ValidationError as error:
        problem = error.errors()[0]
        location = ".".join([place, *(str(part) for part in problem["loc"])])
        if problem["type"] == "extra_forbidden":
            inner: type[BaseModel] = kind
            for part in problem["loc"][:-1]:
                inner = _inner(inner, str(part))
            raise SpecError(
                f"{location}: unknown key; {nearest(str(problem['loc'][-1]), inner.model_fields)}"
            ) from None
        message = problem["msg"].removeprefix("Value error, ")
        got = "" if problem["type"] == "missing" else f", got {problem['input']!r}"
        raise SpecError(f"{location}: {message}{got}") from None


def _no_truth_for_number(kind: type[BaseModel], value: Mapping[Any, Any], place: str) -> None:
    """Raise SpecError where true or false stands for a number, since pydantic takes true for 1."""
    for key, given in value.items():
        field = kind.model_fields.get(str(key))
        if isinstance(given, bool) and field is not None and field.annotation is not bool:
            raise SpecError(f"{place}.{key}: must not be true or false, got {given!r}")
        if isinstance(given, Mapping):
            _no_truth_for_number(_inner(kind, str(key)), given, f"{place}.{key}")


def _inner(kind: type[BaseModel], name: str) -> type[BaseModel]:
    annotation = kind.model_fields[name].annotation if name in kind.model_fields else None
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return kind
