"""The job of a backend's worker for an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acz.backend.protocol import Backend
from acz.backend.signature import PLAIN, Form, metadata
from acz.foundation.arrays import Array, Arrays
from acz.model.checkpoint import load_checkpoint


@dataclass(frozen=True)
class ArtefactArguments:
    """The checkpoint that is read, whoever trained it, and the artefact that is written."""

    checkpoint: Path
    out: Path
    function: str = "export"
    """The backend's function that writes it."""
    form: Form = PLAIN


def write_artefact(
    backend: Backend, arguments: ArtefactArguments, arrays: Mapping[str, Array]
) -> tuple[dict[str, str], Arrays]:
    """A job: write a backend's artefact of a checkpoint; the value is the versions of what wrote it."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    model = backend.build(checkpoint.spec, "CPU", "float32")
    backend.load_parameters(model, {path: np.asarray(v, np.float32) for path, v in checkpoint.parameters.items()})
    export, form = getattr(backend, arguments.function), arguments.form
    export(model, arguments.out, metadata(checkpoint.spec, form), **form.changes)
    return backend.versions(), {}
