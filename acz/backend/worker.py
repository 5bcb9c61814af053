"""A backend in a process of its own: jobs go in and results come out as files, and a crash stays in its process.

A job is a function `(backend, arguments, arrays) -> (value, arrays)` at the top level of a module. Its type hints say how
arguments and value travel as JSON. `python -m acz.backend.worker BACKEND THREADS` reads one JSON line a job from standard
input and answers one JSON line each.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from pydantic import TypeAdapter

from acz.backend.devices import on_device
from acz.backend.protocol import Backend
from acz.backend.registry import find_backend
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.environment import configure_process
from acz.foundation.processes.environments import ask, interpreter_of, variables_there
from acz.foundation.processes.job_process import JobProcess
from acz.foundation.processes.json_lines import answer_lines

Arguments = TypeVar("Arguments")
Value = TypeVar("Value")
Job = Callable[[Backend, Arguments, Mapping[str, Array]], tuple[Value, Arrays]]
"""The type of a job. Its arguments are a dataclass of plain values, paths, specs and pydantic models, or None."""
Wrapper = Callable[[Backend], Backend]


class Worker(JobProcess):
    """A backend in a process of its own, where jobs run one after the other. A context manager.

    Args:
        backend: its registered name.
        threads: threads on the CPU.
        python: the interpreter that runs it; by default that of the backend's environment.
        wrap: a function at the top level of a module; it is given the backend, and jobs are given what it returns. The
            attribute can be set again: the jobs after that are given what the new function returns.
        variables: environment variables to set for it.

    `device` is the device on which its jobs compute, by default the CPU; jobs name none.

    Raises:
        MissingError: the backend's environment can't start it.
    """

    def __init__(
        self,
        backend: str,
        threads: int = 1,
        python: str | None = None,
        wrap: Wrapper | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.backend, self.wrap, self.device = backend, wrap, "CPU"
        there = interpreter_of(backend) if python is None else None
        options = []
        if there is not None:
            ask(backend, there)
            options, variables = ["-E"], {**(variables or {}), **variables_there(backend)}
        command = [there or python or sys.executable, *options, "-m", "acz.backend.worker", backend, str(threads)]
        super().__init__(f"the process of backend '{backend}'", command, variables)

    def run(
        self,
        job: Job[Arguments, Value],
        arguments: Arguments,
        arrays: Mapping[str, Array] | None = None,
        timeout: float = 900.0,
    ) -> tuple[Value, Arrays]:
        """Run a job there. Paths in its arguments must be absolute: the process has a current folder of its own.

        Raises:
            PydanticSerializationError: the arguments are not of the job's type.
            JobFailed: the job raised.
            WorkerDied: the process ended, or gave no answer in `timeout` seconds.
        """
        types = job_types(job)
        given = types.arguments.dump_python(arguments, mode="json", warnings="error")
        message = {"job": name_of(job), "arguments": given, "device": self.device}
        message["wrap"] = name_of(self.wrap) if self.wrap else ""
        value, results = self.exchange(message, arrays or {}, timeout)
        return types.value.validate_python(value), results


def name_of(function: Callable[..., object]) -> str:
    """The name `module:function` by which another process finds a function."""
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "." in name or name == "<lambda>":
        raise ValueError(f"{module}.{name} can't be found by another process: define it at the top level of a module")
    return f"{module}:{name}"


def load_function(name: str) -> Callable[..., Any]:
    """The function that `name_of` named."""
    module, _, function = name.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded


@dataclass(frozen=True)
class JobTypes:
    """The types with which a job's arguments and value travel."""

    arguments: TypeAdapter[Any]
    value: TypeAdapter[Any]


@cache
def job_types(job: Callable[..., Any]) -> JobTypes:
    """The types that a job's hints name."""
    hints = get_type_hints(job, include_extras=True)
    _, arguments, _ = inspect.signature(job).parameters
    return JobTypes(TypeAdapter(hints[arguments]), TypeAdapter(get_args(hints["return"])[0]))


@dataclass(frozen=True)
class Description:
    """A backend's description of itself."""

    versions: dict[str, str]
    devices: list[str]
    capabilities: dict[str, str]


def describe(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> tuple[Description, Arrays]:
    """A job: the description of a backend."""
    return Description(backend.versions(), backend.devices(), backend.capabilities()), {}


def main(backend_name: str, threads: str) -> None:
    """The loop of a worker. The first job imports the framework, so that a failure to do so is that job's answer."""
    configure_process(int(threads))
    open_once = cache(lambda: _open(backend_name, int(threads)))
    wrap_once = cache(lambda wrap: load_function(wrap)(open_once()) if wrap else open_once())

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        backend = on_device(wrap_once(message["wrap"]), message["device"])
        job = load_function(message["job"])
        types = job_types(job)
        with np.load(message["given"], allow_pickle=False) as given:
            arrays = {key: given[key] for key in given.files}
        value, results = job(backend, types.arguments.validate_python(message["arguments"]), arrays)
        np.savez(message["taken"], **results)
        return {"value": types.value.dump_python(value, mode="json", warnings="error")}

    answer_lines(answer)


def _open(name: str, threads: int) -> Backend:
    backend = find_backend(name)
    backend.set_threads(threads)
    gc.freeze()  # what the import made stays: no collection, of which MindSpore makes one a graph, need visit it
    return backend


if __name__ == "__main__":
    main(*sys.argv[1:3])
