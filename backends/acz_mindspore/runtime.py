"""Runs an exported MindIR file with MindSpore. Stands alone: NumPy and mindspore, nothing of acz."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

os.environ.setdefault("GLOG_v", "3")  # errors only

import mindspore as ms
from mindspore import Tensor, nn
from mindspore.train.mind_ir_pb2 import ModelProto

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """A function from arrays by input name to arrays by output name, on the CPU, and the strings stored in the file."""
    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE, runtime_num_threads=threads)
    file = ModelProto.FromString(Path(path).read_bytes())
    inputs, outputs = ([end.name.split(":")[1] for end in ends] for ends in (file.graph.input, file.graph.output))
    model = nn.GraphCell(ms.load(path))

    def run(fed: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        found = model(*(Tensor(fed[name]) for name in inputs))
        return {outputs[0]: found.asnumpy()}

    return run, dict(file.user_info)
