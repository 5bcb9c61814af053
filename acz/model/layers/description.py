"""The layers in words: each layer's formula, and the type, values, default and meaning of every setting."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from acz.foundation.files.yaml import parse_value
from acz.model.layers.base import Layer

COMPARISONS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
KINDS: dict[Any, str] = {bool: "true | false", int: "whole number", float: "number", str: "text"}


@dataclass(frozen=True)
class Setting:
    """A setting of a layer, in the words of a YAML file."""

    name: str
    """Its name. Settings of a mapping follow it, as `norm.epsilon` follows `norm`."""
    values: str
    """The values that it takes."""
    default: str
    """Its default; empty where it must be given."""
    meaning: str


def formula(layer: type[Layer]) -> str:
    """The docstring of a layer, with those of the layers that it builds on: formulas, shapes, parameters and sources."""
    own = [kind for kind in layer.__mro__ if issubclass(kind, Layer) and kind is not Layer]
    texts = [inspect.cleandoc(kind.__doc__ or "") for kind in own]
    return "\n\n".join(texts[:1] + [f"{kind.__name__}: {text}" for kind, text in zip(own[1:], texts[1:], strict=True)])


def settings_of(kind: type[BaseModel], prefix: str = "") -> tuple[Setting, ...]:
    """The settings of a layer, and of the mappings in it, in their order. `type` is left out."""
    settings: list[Setting] = []
    meanings = _meanings(kind)
    for name, field in kind.model_fields.items():
        if name == "type":
            continue
        settings.append(Setting(prefix + name, _values(field), _default(field), meanings[name]))
        for inner in _choices(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                settings += settings_of(inner, f"{prefix}{name}.")
    return tuple(settings)


@cache
def _meanings(kind: type[BaseModel]) -> dict[str, str]:
    """The first paragraph of the docstring below each field, of a class and of those that it builds on."""
    meanings: dict[str, str] = {}
    for owner in reversed([owner for owner in kind.__mro__ if "__annotations__" in vars(owner)]):
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(definition, ast.ClassDef)
        for line, below in zip(definition.body, [*definition.body[1:], None], strict=True):
            if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
                continue
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            meanings[line.target.id] = " ".join(inspect.cleandoc(str(text)).partition("\n\n")[0].split())
    return meanings


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The types of a union without None, or the type itself."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(choice for choice in get_args(annotation) if choice is not NoneType)
    return (annotation,)


def _values(field: FieldInfo) -> str:
    """The values that a field takes, in words."""
    bounds = [
        f"{sign} {limit:,}" if isinstance(limit := getattr(bound, name), int) else f"{sign} {limit:g}"
        for bound in field.metadata
        for name, sign in COMPARISONS.items()
        if hasattr(bound, name)
    ]
    words = " | ".join(_kind(choice) for choice in _choices(field.annotation))
    optional = NoneType in get_args(field.annotation)
    return ", ".join([f"{words} {' and '.join(bounds)}".strip(), *(["or null"] if optional else [])])


def _kind(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(map(_text, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"one or a list of: {_kind(get_args(kind)[0])}"
    return "mapping" if isinstance(kind, type) and issubclass(kind, BaseModel) else KINDS[kind]


def _default(field: FieldInfo) -> str:
    """The default of a field as YAML has it; empty where it must be given."""
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "{}"
    if isinstance(value, str):
        return _text(value)
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _text(value: str) -> str:
    """A text as YAML needs it: with quotes where it would be a number without them."""
    return value if parse_value(value, "a setting") == value else f'"{value}"'
