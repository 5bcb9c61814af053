"""Jobs that go wrong, and a backend on another device."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array, Arrays
from acz.model.spec import Spec
from acz.parity.mutants.base import replace_functions


@dataclass(frozen=True)
class Death:
    """A signal that ends the process, as a crash does; `segmentation` reads address 0."""

    how: Literal["kill", "segmentation"]


def die(backend: Backend, arguments: Death, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: end its process."""
    if arguments.how == "segmentation":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)
    return None, {}


def fail(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: raise."""
    raise RuntimeError("this job fails")


def hang(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: take longer than its caller waits."""
    time.sleep(60)
    return None, {}


def with_gpu(backend: Backend) -> Backend:
    """A backend that says that it has a GPU, and builds nothing elsewhere."""

    def build(spec: Spec, device: str, dtype: str) -> Any:
        assert device == "GPU:0"
        return backend.build(spec, "CPU", dtype)

    return replace_functions(backend, build=build, devices=lambda: ["CPU", "GPU:0"])
