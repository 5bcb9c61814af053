"""Limits of a reader, for any input: time, memory, files, and nothing that is run."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from acz.foundation.processes.environments import configuration

SECONDS = 5.0
"""CPU time for one input."""
MEMORY = 512 * 2**20
"""Bytes of address space, beside those that the process has already."""

FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.kill",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "shutil.",
    "subprocess.",
    "socket.",
    "ctypes.",
    "pty.",
    "webbrowser.",
    "urllib.",
    "ftplib.",
    "marshal.",
    "pickle.find_class",
    "code.__new__",
    "function.__new__",
    "sys.addaudithook",
    "sys.settrace",
    "sys.setprofile",
)
"""Prefixes of audit events (Python's table of them) that no reader has a reason to raise."""


class Violation(BaseException):
    """A reader left its limits. It is not an Exception, so that no reader catches it."""


class _Watch:
    """The audit hook's state. A hook can't be removed, so it is made once and switched."""

    installed = False
    folder: str | None = None
    """The folder of the present input; None while nothing is watched."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    folder = _Watch.folder
    if folder is None:
        return
    if event == "open":
        path, _, flags = arguments
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise Violation(f"opened {name} for writing")
        inside = not os.path.isabs(name) or os.path.realpath(name).startswith((folder, sys.prefix, sys.base_prefix))
        if name and not inside and name != str(configuration()):  # the user's own file names their environments
            raise Violation(f"read {name}, which is not its own")
    elif event == "import" and arguments[0].partition(".")[0] not in sys.modules:
        raise Violation(f"imported {arguments[0]}")
    elif event == "exec":
        code = arguments[0]
        if not getattr(code, "co_filename", "").startswith((sys.prefix, sys.base_prefix, "<frozen")):
            raise Violation(f"ran code of {getattr(code, 'co_filename', '?')}")
    elif event.startswith(FORBIDDEN):
        raise Violation(f"{event} {arguments!r}"[:200])


def _too_long(number: int, frame: FrameType | None) -> None:
    raise Violation(f"took more than {SECONDS:g} s")


def _address_space() -> int:
    """Bytes of address space that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Raise Violation, or MemoryError, if the body does more than read files in `folder`. Main thread only."""
    if not _Watch.installed:
        sys.addaudithook(_audit)
        _Watch.installed = True
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    kept = signal.signal(signal.SIGVTALRM, _too_long)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY, hard))
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    _Watch.folder = str(folder.resolve())
    try:
        yield
    finally:
        _Watch.folder = None
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGVTALRM, kept)
