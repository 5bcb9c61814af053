"""Runs the native module in MindSpore's own mixed precision, amp O2: everything in float16 but batch norms."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

os.environ.setdefault("GLOG_v", "3")  # errors only

import mindspore as ms
import numpy as np

import acz
from acz.backend.signature import ports

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by an artefact's input names to arrays by output name."""
    checkpoint = acz.load_checkpoint(path)
    module = acz.build(checkpoint.spec, "mindspore", checkpoint.parameters)
    module = ms.amp.auto_mixed_precision(module, "O2").set_train(False)

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        output = module({port.key: ms.Tensor(inputs[port.name]) for port in ports(checkpoint.spec)})
        return {"output": output.asnumpy().astype(np.float32)}

    return run, {}
