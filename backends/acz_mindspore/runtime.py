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
    ms.runtime.launch_blocking()  # quicker for small graphs
    ms.set_context(mode=ms.GRAPH_MODE, runtime_num_threads=threads)
    file = ModelProto.FromString(Path(path).read_bytes())
    names = [end.name.partition(":")[2] for end in file.graph.input]  # after the graph's name
    (output,) = (end.name.partition(":")[2] for end in file.graph.output)
    model = nn.GraphCell(ms.load(path))

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        found = model(*(Tensor(inputs[name]) for name in names))
        return {output: found.asnumpy()}

    return run, dict(file.user_info)
