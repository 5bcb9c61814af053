"""JAX's own files: arrays by name, by jax.numpy.savez."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array
from acz_jax.model import Model, dump_parameters


def save_native(model: Model, path: Path) -> None:
    with path.open("wb") as file:  # given a path, NumPy would add a suffix
        np.savez(file, **dump_parameters(model))


def read_native(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
