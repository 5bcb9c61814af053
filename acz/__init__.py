"""acz: one description of a video-classification model, run by four frameworks, proved to be the same function."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acz import reference
    from acz.backend.build import build
    from acz.foundation.errors import AczError
    from acz.model.checkpoint import load_checkpoint, save_checkpoint
    from acz.model.spec import Spec
    from acz.zoo.config import load_config, load_spec

from acz.foundation.version import __version__

_HOMES = {
    "load_spec": "acz.zoo.config",
    "load_config": "acz.zoo.config",
    "build": "acz.backend.build",
    "load_checkpoint": "acz.model.checkpoint",
    "save_checkpoint": "acz.model.checkpoint",
    "AczError": "acz.foundation.errors",
    "Spec": "acz.model.spec",
}

__all__ = [
    "AczError",
    "Spec",
    "__version__",
    "build",
    "load_checkpoint",
    "load_config",
    "load_spec",
    "reference",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used, so that `import acz` costs next to nothing."""
    if name == "reference":
        return import_module("acz.reference")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'acz' has no attribute '{name}'")
