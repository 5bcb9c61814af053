"""Keras' files, told by their first bytes. Imports no framework."""

from __future__ import annotations

import zipfile
from pathlib import Path


def recognises(path: Path) -> bool:
    """True for a .keras file. Raises OSError or BadZipFile where that can't be told."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4)
    if head != b"PK\x03\x04":
        return False
    with zipfile.ZipFile(path) as archive:
        return "model.weights.h5" in archive.namelist()
