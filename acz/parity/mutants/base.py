"""Tools that make a backend wrong in one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.model.spec import Spec

Mutant = Callable[[Backend], Backend]
"""Gives a backend that is wrong in one way."""


class _Mutant:
    def __init__(self, backend: Backend, **replaced: Callable[..., Any]) -> None:
        self._backend = backend
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def replace_functions(backend: Backend, **replaced: Callable[..., Any]) -> Backend:
    """A backend with some of its functions replaced."""
    return cast(Backend, _Mutant(backend, **replaced))


def changed(tree: Any, key: str, change: Callable[[Any], Any]) -> Any:
    """A copy of a plain tree with every value under `key` changed."""
    if not isinstance(tree, Mapping):
        return tree
    return {k: change(v) if k == key else changed(v, key, change) for k, v in tree.items()}


def of_type(tree: Any, kind: str, key: str, value: Any) -> Any:
    """A copy of a plain tree with `key` set in every layer of a type."""
    if not isinstance(tree, Mapping):
        return tree
    copy = {k: of_type(v, kind, key, value) for k, v in tree.items()}
    return copy | {key: value} if tree.get("type") == kind else copy


def other_spec(backend: Backend, change: Callable[[Any], Any]) -> Backend:
    def build(spec: Spec, device: str, dtype: str) -> Any:
        return backend.build(Spec.from_dict(change(spec.to_dict())), device, dtype)

    return replace_functions(backend, build=build)


def other_outputs(backend: Backend, change: Callable[[Array], Array]) -> Backend:
    def forward(*arguments: Any, **named: Any) -> dict[str, Array]:
        values = backend.forward(*arguments, **named)
        return values | {"output": change(values["output"].copy())}

    return replace_functions(backend, forward=forward)


def other_parameters(backend: Backend, name: str, change: Callable[[Array], Array]) -> Backend:
    """Every parameter of this local name is changed as it is loaded."""

    def load_parameters(model: Any, parameters: Mapping[str, Array]) -> None:
        wrong = {path: change(v) if path.endswith(f".{name}") else v for path, v in parameters.items()}
        backend.load_parameters(model, wrong)

    return replace_functions(backend, load_parameters=load_parameters)
