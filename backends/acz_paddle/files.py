"""PaddlePaddle's files, told by their first bytes. Imports no framework."""

from __future__ import annotations

from pathlib import Path

PICKLES = (b"\x80", b"(", b"}")
"""First bytes of a pickle, of protocol 2 and later, or of 0."""
NUMBER = b"\x8a"
"""Begins a pickled number: PyTorch's old files begin with one, a dictionary does not."""


def recognises(path: Path) -> bool:
    """True for what paddle.save wrote, for PaddlePaddle's older stream of variables, and for any folder, which may hold one
    variable a file. Raises OSError where that can't be told."""
    if path.is_dir():
        return True
    with path.open("rb") as file:
        head = file.read(4)
    pickled = head[:1] in PICKLES and head[2:3] != NUMBER
    return pickled or head[:4] == bytes(4)
