"""What a framework's process does for conversions, through the seam alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acz.foundation.arrays import Array
from acz.model.checkpoint import load_checkpoint

Answer = tuple[Any, dict[str, Array]]


def read(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
    """The arrays of the native file `path`: a list of names, and the arrays by their place in it."""
    found = backend.read_native(Path(arguments["path"]))
    return list(found), {str(number): value for number, value in enumerate(found.values())}


def save(backend: Any, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
    """The checkpoint `checkpoint` as the native file `out`, with parameters in `dtype`."""
    checkpoint = load_checkpoint(arguments["checkpoint"])
    model = backend.build(checkpoint.spec, "CPU", arguments["dtype"])
    backend.load_parameters(
        model, {path: value.astype(arguments["dtype"]) for path, value in checkpoint.parameters.items()}
    )
    backend.save_native(model, Path(arguments["out"]))
    return None, {}
