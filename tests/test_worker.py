"""Jobs travel to a worker and back with the types that their hints name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydantic_core import PydanticSerializationError

from acz.backend.protocol import Backend
from acz.backend.worker import Worker, name_of
from acz.foundation.arrays import Array, Arrays
from acz.model.optimizer import Adam
from acz.model.spec import Spec
from acz.zoo.config import load_spec
from tests.conftest import TINY


@dataclass(frozen=True)
class Inner:
    """A dataclass in a dataclass."""

    rates: tuple[float, ...]
    adam: Adam


@dataclass(frozen=True)
class EchoArguments:
    """One field of every kind."""

    spec: Spec
    path: Path
    inner: Inner
    limit: float = float("inf")
    paths: dict[str, Path] = field(default_factory=dict)
    nothing: str | None = None


def echo(backend: Backend, arguments: EchoArguments, arrays: Mapping[str, Array]) -> tuple[EchoArguments, Arrays]:
    """A job: return its arguments."""
    assert isinstance(arguments.inner.adam, Adam)
    return arguments, {name: value * 2 for name, value in arrays.items()}


def double_name(backend: Backend) -> Backend:
    """Any change of a backend."""
    backend.NAME = 2 * backend.NAME
    return backend


def tell_name(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> tuple[str, Arrays]:
    """A job: the backend's name."""
    return backend.NAME, {}


def test_arguments_and_values_come_back_as_they_were(tmp_path: Path) -> None:
    inner = Inner((0.1, 1e-300, 1 / 3), Adam(clip_norm=0.5, l2_penalty={"trunk.*": 0.25}))
    arguments = EchoArguments(load_spec(TINY), tmp_path, inner, paths={"one": tmp_path / "größe"})
    with Worker("numpy") as worker:
        value, arrays = worker.run(echo, arguments, {"a/b": np.arange(3)})
        assert value == arguments
        assert value.spec.hash == arguments.spec.hash
        assert arrays["a/b"].tolist() == [0, 2, 4]
        with pytest.raises(PydanticSerializationError, match="limit"):
            worker.run(echo, EchoArguments(load_spec(TINY), tmp_path, inner, limit="not a number"))  # type: ignore[arg-type]


def test_a_worker_wraps_its_backend() -> None:
    with Worker("numpy", wrap=double_name) as worker:
        assert worker.run(tell_name, None)[0] == "numpynumpy"


def test_a_function_that_another_process_cannot_find_is_refused() -> None:
    def inside(backend: Backend) -> Backend:
        return backend

    for function in (inside, lambda backend: backend):
        with pytest.raises(ValueError, match="top level of a module"):
            name_of(function)
