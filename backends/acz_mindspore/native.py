"""MindSpore's own files: a .ckpt by mindspore.save_checkpoint."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms

from acz.foundation.arrays import Array
from acz_mindspore.model import Model


def save_native(model: Model, path: Path) -> None:
    ms.save_checkpoint(model, str(path))


def read_native(path: Path) -> dict[str, Array]:
    """Any .ckpt; its name must end so."""
    return {name: value.asnumpy() for name, value in ms.load_checkpoint(str(path)).items()}
