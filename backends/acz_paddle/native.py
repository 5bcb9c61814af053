"""PaddlePaddle's own files: a state_dict by paddle.save."""

from __future__ import annotations

from pathlib import Path

import paddle

from acz.foundation.arrays import Array
from acz.foundation.files.unpickle import load
from acz_paddle.model import Model, named_by_path


def save_native(model: Model, path: Path) -> None:
    with named_by_path(model):
        paddle.save(model.state_dict(), str(path))


def read_native(path: Path) -> dict[str, Array]:
    """A state_dict of this PaddlePaddle. What is more than arrays is refused first: paddle.load runs any pickle."""
    load(path)
    found: dict[str, Array] = paddle.load(str(path), return_numpy=True)
    return found
