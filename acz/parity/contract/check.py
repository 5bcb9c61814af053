"""The check of a backend: every promise, as a job in the backend's process."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from acz.backend.protocol import Backend
from acz.backend.registry import find_info
from acz.backend.worker import Worker, Wrapper, describe
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.job_process import WorkerDied
from acz.foundation.progress import Progress
from acz.parity.contract.model import output_on
from acz.parity.contract.promises import PROMISES


@dataclass(frozen=True)
class PromiseArguments:
    """A promise, and the registered name of the backend that made it."""

    promise: str
    backend: str


@dataclass(frozen=True)
class DeviceArguments:
    """A device."""

    device: str


def check_promise(
    backend: Backend, arguments: PromiseArguments, arrays: Mapping[str, Array]
) -> tuple[list[str], Arrays]:
    """A job: what is wrong with a promise, a line each."""
    return _collect(PROMISES[arguments.promise](backend, find_info(arguments.backend))), {}


def check_output(backend: Backend, arguments: DeviceArguments, arrays: Mapping[str, Array]) -> tuple[list[str], Arrays]:
    """A job: what is wrong with the output on a device, a line each."""
    return _collect(output_on(backend, arguments.device)), {}


def _collect(problems: Iterator[str]) -> list[str]:
    """The problems. An error of the backend is the last of them."""
    collected: list[str] = []
    try:
        collected.extend(problems)
    except Exception as error:  # whatever a backend raises breaks its promise
        place = traceback.extract_tb(error.__traceback__)[-1]
        collected.append(f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})")
    return collected


def check_promises(backend: str, progress: Progress, wrap: Wrapper | None = None) -> dict[str, tuple[str, ...]]:
    """Check every promise of a backend.

    Args:
        backend: its registered name.
        progress: what is told after each promise.
        wrap: a function at the top level of a module; its result is checked instead of the backend.

    Returns:
        What is wrong, by promise, in the order in which they were checked. A promise that is kept has no lines.

    Raises:
        JobFailed: the backend can't be loaded.
    """
    problems: dict[str, tuple[str, ...]] = {}
    with Worker(backend, wrap=wrap) as worker:
        here = worker.run(describe, None)[0].devices
    worker = Worker(backend, wrap=wrap)
    try:
        for number, promise in enumerate(PROMISES):
            progress("backend-check", number, len(PROMISES), promise)
            try:
                lines = worker.run(check_promise, PromiseArguments(promise, backend))[0]
            except WorkerDied as error:
                lines = [str(error)]
                worker.close()
                worker = Worker(backend, wrap=wrap)
            problems[promise] = tuple(lines)
    finally:
        worker.close()
    for device in here:
        if device != "CPU":
            problems["devices"] += tuple(_ask_alone(backend, device, wrap))
    return problems


def _ask_alone(backend: str, device: str, wrap: Wrapper | None) -> list[str]:
    """The faults on a device, in a process of its own: some frameworks have one device in a process."""
    with Worker(backend, wrap=wrap) as worker:
        try:
            return worker.run(check_output, DeviceArguments(device))[0]
        except WorkerDied as error:
            return [str(error)]
