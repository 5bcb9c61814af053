"""What a backend's worker does for an export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.signature import metadata
from acz.foundation.arrays import Array
from acz.model.checkpoint import load_checkpoint


def make(backend: Any, arguments: Mapping[str, Any], arrays: Any) -> tuple[Any, dict[str, Array]]:
    """Write the artefact of the checkpoint at `checkpoint`, whoever trained it, to `out`."""
    checkpoint = load_checkpoint(Path(arguments["checkpoint"]))
    model = backend.build(checkpoint.spec, "CPU", "float32")
    backend.load_parameters(model, {path: np.asarray(v, np.float32) for path, v in checkpoint.parameters.items()})
    backend.export(model, Path(arguments["out"]), metadata(checkpoint.spec))
    return backend.versions(), {}
