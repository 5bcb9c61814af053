"""Runs an exported .stablehlo file with JAX. Stands alone: NumPy and jax, nothing of acz."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
import numpy.typing as npt

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, on the CPU, and the strings stored in the file."""
    os.environ["NPROC"] = str(threads)  # XLA makes its threads at the first look for devices
    cpu = jax.devices("cpu")[0]
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("acz.json"))
    call = jax.jit(jax.export.deserialize(bytearray(Path(path).read_bytes())).call)

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        found = call(**jax.device_put(dict(inputs), cpu))
        return {name: np.array(value) for name, value in found.items()}

    return run, metadata
