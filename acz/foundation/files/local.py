"""Paths of this machine, and addresses of other places that look like paths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from acz.foundation.errors import DataError

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/])")
"""The beginning of an address, such as `s3://`. `Path` leaves one of its slashes. A drive has one letter alone."""


def require_local(*paths: object) -> None:
    """Check that paths are of this machine. Values that are not paths, texts or lists of them pass.

    Raises:
        DataError: A path is an address, such as `s3://bucket/data`. The message says what to do.
    """
    for path in paths:
        if isinstance(path, str | Path):
            address = ADDRESS.match(str(path))
            if address:
                rest = str(path)[address.end() :]
                raise DataError(
                    f"{address[1]}://{rest} is not on this machine; acz reads and writes local files alone: "
                    "copy it here, or mount it and give its folder"
                )
        elif isinstance(path, Sequence):
            require_local(*path)
