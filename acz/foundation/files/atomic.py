"""Files that are written completely or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from acz.foundation.files.local import require_local
from acz.foundation.files.texts import OTHER_BYTES

PARTIAL = ".partial"
"""The end of the names of temporary files."""


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, a used-up quota, and a limit on files."""


@contextmanager
def name_in_errors(path: Path, *instead: str) -> Iterator[None]:
    """Make an OSError in the body name `path`.

    A write that fails names no file, or a temporary file that the user does not know.
    `instead` lists such names. Where there is no room left, `path` replaces any name.
    """
    try:
        yield
    except OSError as error:
        if error.filename not in (None, *instead) and error.errno not in NO_ROOM:
            raise
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from None


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file completely or not at all, also on a power cut.

    `write` fills a temporary file in the same folder, which is synced and renamed.

    Raises:
        DataError: The path is not on this machine.
        OSError: The disk is full, or the folder is read-only. The error names `path`; the temporary file is removed.
    """
    require_local(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    os.close(handle)
    temporary = Path(name)
    try:
        with name_in_errors(path, name):
            write(temporary)
            sync(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file's content, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8 completely or not at all. Raises OSError."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors=OTHER_BYTES))


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed calls of `write_atomically` left.

    Call it only while the folder is locked.
    """
    for path in folder.rglob(f".*{PARTIAL}"):
        if path.is_file():
            path.unlink()


def remove_leftovers_of(path: Path) -> None:
    """Remove the temporary files of one file that killed calls left. Call it only while nobody else writes the file."""
    for left in path.parent.glob(f".{escape(path.name)}.*{PARTIAL}"):
        left.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file completely or not at all. Raises OSError."""
    write_text_atomically(path, json.dumps(value, indent=1) + "\n")
