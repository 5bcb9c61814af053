"""PyTorch's files, told by their first bytes. Imports no framework."""

from __future__ import annotations

import zipfile
from pathlib import Path

LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""A pickle of PyTorch's magic number: how files from before its zip container begin."""


def recognises(path: Path) -> bool:
    """True for what torch.save wrote. Raises OSError or BadZipFile where that can't be told."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(len(LEGACY))
    if head[:4] != b"PK\x03\x04":
        return head == LEGACY
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())
