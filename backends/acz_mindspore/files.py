"""MindSpore's files, told by their first bytes. Imports no framework."""

from __future__ import annotations

from pathlib import Path


def recognises(path: Path) -> bool:
    """True for what mindspore.save_checkpoint wrote: a message whose first field is 1. Raises OSError where that can't be told."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"\x0a"
