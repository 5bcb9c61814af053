"""Converts an ONNX file with MNNConvert and runs it with MNN."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import MNN
import numpy as np
import numpy.typing as npt

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]
TYPES = {"float32": MNN.expr.float, "uint8": MNN.expr.uint8, "bool": MNN.expr.int}
"""Types of MNN by NumPy's. A boolean of ONNX is an int there."""


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by input name to arrays by output name."""
    converter = str(Path(sys.executable).with_name("mnnconvert"))
    words = ["-f", "ONNX", "--modelFile", path, "--MNNModel", "model.mnn", "--bizCode", "acz"]
    converted = subprocess.run([converter, *words], capture_output=True, text=True, check=False)
    if converted.returncode or not Path("model.mnn").is_file():
        raise RuntimeError("mnnconvert: " + " ".join((converted.stdout + converted.stderr).split()[-60:]))
    described = MNN.nn.load_module_from_file("model.mnn", [], [])
    names = described.get_info()["inputNames"]
    outputs = described.get_info()["outputNames"]
    module = MNN.nn.load_module_from_file(
        "model.mnn", names, outputs, backend=MNN.expr.Backend.CPU, precision_mode=MNN.expr.PrecisionMode.High
    )

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        given = []
        for name in names:
            value = inputs[name]
            flat = value.astype(np.int32) if value.dtype == bool else value
            given.append(MNN.expr.const(flat, list(value.shape), MNN.expr.NCHW, TYPES[str(value.dtype)]))
        values = module.forward(given)
        return {name: np.array(value.read()) for name, value in zip(outputs, values, strict=True)}

    return run, {}
