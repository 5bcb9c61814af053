"""Versions, devices and threads of MindSpore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms
from mindspore import device_context
from mindspore.communication import GlobalComm

from acz.backend.devices import split_device
from acz.foundation.processes.silence import silence_output

KINDS = {"CPU": device_context.cpu, "GPU": device_context.gpu, "Ascend": device_context.ascend}


def versions() -> dict[str, str]:
    return {"mindspore": ms.__version__}


def devices() -> list[str]:
    with silence_output():  # MindSpore warns of what is not there
        here = {kind: context.device_count() for kind, context in KINDS.items() if context.is_available()}
    return [kind if kind == "CPU" else f"{kind}:{n}" for kind, count in here.items() for n in range(count)]


def capabilities() -> dict[str, str]:
    return {
        "devices": "CPU, Ascend",
        "training": "a compiled graph, Adam's own kernel",
        "float64": "everything, on a CPU",
    }


def set_threads(count: int) -> None:
    with silence_output():  # it says that it is deprecated; what it names instead can be set only once
        ms.set_context(runtime_num_threads=count)


def use_device(device: str) -> None:
    """Make `GPU:1` MindSpore's device; a process has one.

    A process of a group keeps the number that its launcher gave, as MindSpore allows no other after `init`.
    """
    kind, number = split_device(device)
    if not (GlobalComm.INITED and ms.get_current_device().device_target == kind):
        ms.set_device(kind, number)
    if kind == "CPU":
        ms.runtime.launch_blocking()  # five times as fast for small operations, and errors appear where they happen


@contextmanager
def in_mode(mode: int) -> Iterator[None]:
    """Run in graph or eager mode, whichever the process is in."""
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        yield
    finally:
        ms.set_context(mode=before)
