"""The functions of the seam with an export: one file of arrays, which mirror/runtime.py runs without acz."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from acz.foundation.errors import SpecError
from mirror.backend import *  # noqa: F403 (the functions that it has)
from mirror.backend import Model

NAME = "mirror_export"
LAYERS = {"attention_cluster", "dropout", "dense"}


def export(model: Model, path: Path, metadata: Mapping[str, str]) -> None:
    for placed in model.spec.layout:
        settings = placed.layer.model_dump(exclude_defaults=True, exclude={"type", "units", "rate"})
        if placed.layer.type not in LAYERS or settings:
            raise SpecError(f"{placed.path}: a mirror file holds plain {', '.join(sorted(LAYERS))} alone")
    with path.open("wb") as file:
        np.savez(file, metadata=np.array(json.dumps(dict(metadata))), **model.parameters)
