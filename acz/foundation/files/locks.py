"""Folders that belong to one process at a time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from acz.foundation.errors import DataError, MissingError

IN_USE = "in-use"
"""The locked file in a folder that a process works in."""


def _locks() -> ModuleType:
    """The module of file locks. Raises MissingError on systems without them."""
    try:
        import fcntl
    except ImportError:
        raise MissingError(
            "this needs the file locks of POSIX, which this system does not have; use Linux, macOS or WSL"
        ) from None
    return fcntl


def _lock(file: IO[Any]) -> None:
    """Lock an open file for this process and those that inherit it.

    Raises BlockingIOError where another one holds the lock.
    """
    fcntl = _locks()
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def hold_folder(folder: Path) -> IO[bytes]:
    """Mark a new folder as in use, as long as this process, or one that inherits the file, holds the file open.

    Raises MissingError on systems without file locks.
    """
    new = folder / "new"
    file = new.open("wb")
    _lock(file)
    new.rename(folder / IN_USE)  # under this name it is never seen without its lock
    return file


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove folders of this user's killed processes: those that `hold_folder` marked and no process holds any more."""
    for folder in folders:
        with suppress(OSError):  # in use, or gone meanwhile
            if folder.lstat().st_uid != os.geteuid():
                continue
            # anybody may create a folder of such a name: its content must not make this process wait
            with open(os.open(folder / IN_USE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
                _lock(file)
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the lock goes with the process, however it ends.

    Where the body fails and has written nothing, folders that were missing before are removed again.

    Raises:
        DataError: Another process holds the folder.
        MissingError: This system has no file locks.
    """
    _locks()
    lock = folder / ".lock"
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            _lock(file)
            held = os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):  # or it went with the folder of another process, which failed
            held = False
        if not held:
            raise DataError(f"{folder} is in use by another process; wait for it, or choose another --out")
        try:
            yield
        except BaseException:
            with suppress(OSError):  # a folder that others have put something into stays
                if created and list(folder.iterdir()) == [lock]:
                    lock.unlink()
                    for path in created:
                        path.rmdir()
            raise


def wait_for_folder(folder: Path, seconds: float) -> None:
    """Wait until no other process holds a folder. Raises DataError where one still does after `seconds`."""
    end = time.monotonic() + seconds
    while folder.is_dir():
        try:
            with locked(folder):
                return
        except DataError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)
