"""Facts about files, kept for the next time under $XDG_CACHE_HOME/acz (or ~/.cache/acz), never beside the user's data.

The key is the file's path, its size and the time of its last change. A cache that can't be written or read is passed
over.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.files.atomic import write_atomically

MAGIC = b"acz-youtube8m-2\n"


def folder() -> Path:
    """The folder of the cache."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path("~/.cache").expanduser()
    return base / "acz" / "youtube8m"


def _place(path: Path, what: str) -> tuple[Path, str]:
    """The cache's file for a fact `what` about a file, and the key that its first line must have."""
    about = path.stat()
    key = json.dumps([str(path.absolute()), about.st_size, about.st_mtime_ns, what])
    return folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.index", key


def load(path: Path, what: str) -> tuple[dict[str, Any], Array] | None:
    """The facts about a file, and int64 numbers. None where they are missing or damaged."""
    with suppress(OSError, ValueError, KeyError, RuntimeError, RecursionError):  # RuntimeError: there is no home folder
        place, key = _place(path, what)
        content = place.read_bytes()
        digest, body = content[len(MAGIC) : len(MAGIC) + 32], content[len(MAGIC) + 32 :]
        if not content.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
            return None
        stored, facts, numbers = body.split(b"\n", 2)
        if stored.decode() == key:
            return json.loads(facts), np.frombuffer(numbers, "<i8").astype(np.int64)
    return None


def store(path: Path, what: str, facts: dict[str, Any], numbers: Array) -> None:
    """Keep facts about a file, and int64 numbers."""
    with suppress(OSError, RuntimeError):
        place, key = _place(path, what)
        body = b"\n".join((key.encode(), json.dumps(facts).encode(), np.asarray(numbers, "<i8").tobytes()))
        content = MAGIC + hashlib.sha256(body).digest() + body
        write_atomically(place, lambda temporary: temporary.write_bytes(content))
