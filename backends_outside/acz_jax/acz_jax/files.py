"""JAX's files, told by their first bytes. Imports no framework."""

from __future__ import annotations

import zipfile
from pathlib import Path


def recognises(path: Path) -> bool:
    """True for what jax.numpy.savez wrote. Raises OSError or BadZipFile where that can't be told."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4)
    if head != b"PK\x03\x04":
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)
