"""A folder that belongs to one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from acz.foundation.errors import DataError, MissingError


def lock_file(file: IO[Any]) -> None:
    """Lock an open file for this process and those that inherit it. The lock goes with the last of them, however it ends.

    Raises:
        BlockingIOError: Another process holds the lock.
        MissingError: This system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        raise MissingError(
            "this needs the file locks of POSIX, which this system does not have; use Linux, macOS or WSL"
        ) from None
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the lock goes with the process, however it ends.

    Where the body fails and has written nothing, folders that were not there go again.
    Raises DataError where another process holds it.
    """
    lock = folder / ".lock"
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            lock_file(file)
            held = os.path.samestat(os.fstat(file.fileno()), lock.stat())
        except (BlockingIOError, FileNotFoundError):  # or it went with the folder of another process, which failed
            held = False
        if not held:
            raise DataError(f"{folder} is in use by another process; wait for it, or choose another --out")
        try:
            yield
        except BaseException:
            with suppress(OSError):  # a folder that others have put something into stays
                if made and list(folder.iterdir()) == [lock]:
                    lock.unlink()
                    for one in made:
                        one.rmdir()
            raise
