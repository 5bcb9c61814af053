"""Jobs that go wrong."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array, Arrays


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
