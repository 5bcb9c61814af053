"""Runs an exported ONNX file with ONNX's own reference evaluator. Stands alone: NumPy and onnx, nothing of acz.

The evaluator is the standard's definition of each operator in NumPy: slow, and written by others than the runtimes are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, and the strings stored in the file.

    NumPy takes its number of threads from the environment when it is imported, so `threads` changes nothing here.
    """
    model = onnx.load(path)
    evaluator = ReferenceEvaluator(model)
    names = [output.name for output in model.graph.output]

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        with np.errstate(over="ignore"):  # exp may overflow where the reciprocal of it is wanted
            return dict(zip(names, evaluator.run(names, dict(inputs)), strict=True))

    return run, {entry.key: entry.value for entry in model.metadata_props}
