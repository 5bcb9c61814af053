"""The job of a backend's worker that reads a native file, through the seam alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from acz.backend.protocol import Backend, NativeFiles
from acz.exchange.weights.readers.nested import choose_weights
from acz.foundation.arrays import Array, Arrays


@dataclass(frozen=True)
class ReadArguments:
    """A native file."""

    path: Path
    key: str | None = None
    """The key that holds the weights. None: the usual one."""


def read_native(
    backend: Backend, arguments: ReadArguments, arrays: Mapping[str, Array]
) -> tuple[tuple[list[str], list[str]], Arrays]:
    """A job: read a native file.

    Returns:
        The names of its arrays and remarks, and the arrays by their place among the names.
    """
    contents = choose_weights(cast(NativeFiles, backend).read_native(arguments.path), arguments.key)
    names = list(contents.named)
    return (names, contents.notes), {str(number): value for number, value in enumerate(contents.named.values())}
