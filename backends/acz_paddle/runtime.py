"""Runs an exported folder with Paddle's inference library. Stands alone: NumPy and paddle, nothing of acz."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

os.environ.setdefault("GLOG_minloglevel", "3")  # errors only

from paddle import inference

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, on the CPU, and the strings stored in the folder."""
    config = inference.Config(f"{path}/model.json", f"{path}/model.pdiparams")
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(threads)
    config.disable_glog_info()
    predictor = inference.create_predictor(config)

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        for name, value in inputs.items():
            predictor.get_input_handle(name).copy_from_cpu(value)
        predictor.run()
        return {name: predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()}

    return run, json.loads((Path(path) / "acz.json").read_text())
