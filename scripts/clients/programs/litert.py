"""Runs a TFLite file with LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by input name to arrays by output name."""
    runner = Interpreter(path, num_threads=threads).get_signature_runner()

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return dict(runner(**inputs))

    return run, {}
