"""Compiles a .pt2 file ahead of time with AOTInductor, which needs a C++ compiler, and runs the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by input name to arrays by output name."""
    torch.set_num_threads(threads)
    package = str(Path("model.aot.pt2").resolve())
    torch._inductor.aoti_compile_and_package(torch.export.load(path), package_path=package)
    model = torch._inductor.aoti_load_package(package)

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        outputs = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return run, {}
