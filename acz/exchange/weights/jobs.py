"""The job of a backend's worker that writes a native file, through the seam alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from acz.backend.protocol import Backend, NativeFiles
from acz.foundation.arrays import Array, Arrays
from acz.model.checkpoint import load_checkpoint


@dataclass(frozen=True)
class SaveArguments:
    """A checkpoint, and the native file to write."""

    checkpoint: Path
    out: Path
    dtype: str
    """The dtype of the parameters in the native file."""


def save_native(backend: Backend, arguments: SaveArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: write a checkpoint as a native file."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    model = backend.build(checkpoint.spec, "CPU", arguments.dtype)
    backend.load_parameters(
        model, {path: value.astype(arguments.dtype) for path, value in checkpoint.parameters.items()}
    )
    cast(NativeFiles, backend).save_native(model, arguments.out)
    return None, {}
