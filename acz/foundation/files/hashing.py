"""SHA-256 of files, folders and arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError

PART = 2**22
"""Bytes that are read at once."""


def file_hash(path: Path) -> str:
    """The hash of a file, or of every file in a folder with its name. Raises OSError."""
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            total.update(file.relative_to(path).as_posix().encode())
            _add_content(total, file)
    return total.hexdigest()


def contents_hash(files: Iterable[Path]) -> str:
    """The hash of the contents of files, one after the other. Raises DataError where a file can't be read."""
    total = hashlib.sha256()
    try:
        for file in files:
            _add_content(total, file)
    except OSError as error:
        raise DataError(f"{error.filename}: can't be read: {error.strerror}") from None
    return total.hexdigest()


def array_hash(*arrays: Array) -> str:
    """The hash of the numbers of arrays, one after the other, in C order."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _add_content(total: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while part := file.read(PART):
            total.update(part)
