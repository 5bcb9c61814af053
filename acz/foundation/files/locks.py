"""A folder that belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acz.foundation.errors import DataError


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
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
