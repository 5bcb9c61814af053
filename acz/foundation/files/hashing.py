"""Hashes of files and folders."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or of every file in a folder with its name."""
    total = hashlib.sha256()
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file():
            total.update(one.relative_to(path).as_posix().encode())
            with one.open("rb") as file:
                while part := file.read(1 << 20):
                    total.update(part)
    return total.hexdigest()
