"""Runs an exported .pt2 file with PyTorch. Stands alone: NumPy and torch, nothing of acz."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import torch

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, on the CPU, and the strings stored in the file."""
    torch.set_num_threads(threads)
    metadata = {"acz.spec": "", "acz.spec_hash": ""}
    model = torch.export.load(path, extra_files=metadata).module()

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        with torch.inference_mode():
            found = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in found.items()}

    return run, metadata
