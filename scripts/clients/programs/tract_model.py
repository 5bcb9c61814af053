"""Runs an ONNX file with tract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import tract

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by input name to arrays by output name."""
    read = tract.onnx().load(path)
    names = [read.input_name(place) for place in range(read.input_count())]
    model = read.into_model().into_runnable()

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        (output,) = model.run([inputs[name] for name in names])
        return {"output": output.to_numpy()}

    return run, {}
