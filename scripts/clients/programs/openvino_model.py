"""Runs an ONNX file with OpenVINO. $CLIENT_OPTION is the hint of its precision; without it OpenVINO chooses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import openvino

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by input name to arrays by output name, and the precision of its arithmetic."""
    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads}
    if hint := os.environ.get("CLIENT_OPTION"):
        settings["INFERENCE_PRECISION_HINT"] = hint
    model = openvino.Core().compile_model(path, "CPU", settings)
    names = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
    precision = names[model.get_property("INFERENCE_PRECISION_HINT").get_type_name()]

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        outputs = model(dict(inputs))
        return {port.get_any_name(): value for port, value in outputs.items()}

    return run, {"precision": precision}
