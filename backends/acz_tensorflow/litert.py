"""Runs an exported LiteRT file with LiteRT. Stands alone: NumPy and ai_edge_litert, nothing of acz or TensorFlow."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, on the CPU, and the strings stored in the file."""
    signature = Interpreter(path, num_threads=threads).get_signature_runner("serving_default")

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        return dict(signature(**inputs))

    with zipfile.ZipFile(path) as archive:
        return run, json.loads(archive.read("acz.json"))
