"""Results of the API: they print well, show as a table in a notebook, and turn into plain data."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from acz.backend.engines.base import Call, Engine
from acz.backend.engines.cluster import RayEngine
from acz.backend.engines.local import LocalEngine
from acz.backend.engines.local import answer_call as answer_call
from acz.backend.ranks import find_place
from acz.foundation.errors import SpecError
from acz.foundation.files.local import require_local
from acz.foundation.processes.ray_cluster import require_engine
from acz.foundation.progress import show_progress

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

STARTING = ("processes", "progress", "engine", "address", "resources", "retries")
"""Parameters that say who makes a call; the processes that make it do not get them."""


class Result(ABC):
    """Base of the results. A subclass is a frozen dataclass without a `repr` of its own."""

    @abstractmethod
    def to_json(self) -> Any:
        """The result as numbers, text, lists and dictionaries, as `--json` prints it."""

    @abstractmethod
    def __str__(self) -> str:
        """The result for a reader, as a command prints it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def _repr_html_(self) -> str:
        """The result as a table, for notebooks. Long lists are left out."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(text)}</td></tr>"
            for name, text in _flat("", self.to_json())
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"


@dataclass(frozen=True, repr=False)
class WrittenData(Result):
    """A data set that `write_data` wrote."""

    folder: Path
    videos: Mapping[str, int]
    """By split."""
    classes: int | None
    """None where no split has labels."""
    several_labels: bool
    inputs: Mapping[str, Mapping[str, Any]]
    """`model.inputs` of a configuration that reads the data set."""

    def to_json(self) -> dict[str, Any]:
        about = {"folder": str(self.folder), "videos": dict(self.videos), "classes": self.classes}
        return about | {"several_labels": self.several_labels, "inputs": dict(self.inputs)}

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {count:,} videos" for split, count in self.videos.items())
        each = "any number of labels" if self.several_labels else "one label"
        labels = "no labels" if self.classes is None else f"{self.classes:,} classes, {each} a video"
        lines = [f"{self.folder}: {counts}; {labels}", "the inputs of a model that reads it:"]
        for name, entry in self.inputs.items():
            lines.append(f"  {name}: {{{', '.join(f'{key}: {value}' for key, value in entry.items())}}}")
        if any("dtype" in entry for entry in self.inputs.values()):
            lines.append("a stream of bytes (uint8) begins with a rescale layer: docs/your-own-features.md")
        return "\n".join(lines)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The values of nested plain data with their dotted names, as text."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list) and (len(value) > 8 or any(isinstance(inner, Mapping | list) for inner in value)):
        yield name, f"{len(value):,} entries"
    else:
        yield name, f"{value:.4g}" if isinstance(value, float) else str(value)


def reports_progress(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """Have everything that a function calls report to the function's `progress`, or to one bar on standard error.

    Paths among its arguments must be of this machine. That is checked before anything starts.
    """
    known = inspect.signature(function).parameters
    paths = {name for name, parameter in known.items() if "Path" in str(parameter.annotation)}

    @functools.wraps(function)
    def reporting(*arguments: Parameters.args, **named: Parameters.kwargs) -> Answer:
        given: Any = named.get("progress")
        require_local(
            *(value for name, value in [*zip(known, arguments, strict=False), *named.items()] if name in paths)
        )
        with show_progress(given):
            return function(*arguments, **named)

    return reporting


def over_processes(
    needs: Callable[[Mapping[str, Any]], tuple[str, str]],
    begin: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    again: Callable[[Mapping[str, Any]], tuple[Callable[..., Any], Mapping[str, Any]]] | None = None,
) -> Callable[[Callable[Parameters, Answer]], Callable[Parameters, Answer]]:
    """Have a call with `processes` above 1, or with the engine `ray`, made by as many new processes.

    A process that a launcher has given a place among others makes the call itself.

    Args:
        needs: the name of the call's backend, and its device, given its arguments.
        begin: the arguments that the processes get, given those of the call.
        again: the function and arguments that continue a call whose processes were lost, given their arguments.
    """

    def wrap(function: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def sharing(*arguments: Parameters.args, **named: Parameters.kwargs) -> Answer:
            given = signature.bind(*arguments, **named).arguments
            processes, name = given.get("processes"), given.get("engine", "local")
            require_counts(processes=processes)
            require_engine(name, given.get("address"), given.get("resources"), given.get("retries"))
            if name == "local" and processes in (None, 1):
                return function(*arguments, **named)
            backend, device = needs(given)
            if find_place(backend):
                raise SpecError("a launcher has started several processes already; leave out --processes")
            kept = begin({name: value for name, value in given.items() if name not in STARTING})
            call = Call(sharing, kept, backend, device, functools.partial(again, kept) if again else None)
            answer: Answer = _engine(given).call_on_ranks(call, processes or 1, kept.get("threads"))
            return answer

        return sharing

    return wrap


def _engine(given: Mapping[str, Any]) -> Engine:
    """The engine that a call names."""
    if given.get("engine", "local") == "local":
        return LocalEngine()
    return RayEngine(given.get("address"), given.get("resources") or {}, given.get("retries"), given.get("progress"))


def require_counts(**counts: int | None) -> None:
    """Raise SpecError where a count is given that is not a whole number of at least 1."""
    for name, count in counts.items():
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise SpecError(f"{name} must be a whole number of at least 1, got {count!r}")
