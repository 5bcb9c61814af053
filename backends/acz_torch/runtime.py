"""Runs an exported .pt2 file with PyTorch. Stands alone: NumPy and torch, nothing of acz."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import torch

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, on the CPU, and the strings stored in the file."""
    torch.set_num_threads(threads)
    with zipfile.ZipFile(path) as archive:
        texts = {name.partition("/extra/")[2]: name for name in archive.namelist() if "/extra/" in name}
        metadata = {text: archive.read(name).decode() for text, name in texts.items()}
    model = torch.export.load(path).module()

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        with torch.inference_mode():
            found = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in found.items()}

    return run, metadata
