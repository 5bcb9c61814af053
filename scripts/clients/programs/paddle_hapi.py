"""Predicts with paddle.Model, the high-level interface of PaddlePaddle, which gives inputs by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import paddle

import acz
from acz.backend.signature import ports

Run = Callable[[Mapping[str, npt.NDArray[Any]]], dict[str, npt.NDArray[Any]]]


class ByPosition(paddle.nn.Layer):
    """A module whose inputs come in the order of an artefact's."""

    def __init__(self, module: paddle.nn.Layer, keys: list[str]) -> None:
        super().__init__()
        self.module, self.keys = module, keys

    def forward(self, *inputs: paddle.Tensor) -> paddle.Tensor:
        return self.module(dict(zip(self.keys, inputs, strict=True)))


class Videos(paddle.io.Dataset):
    """The videos of a batch."""

    def __init__(self, arrays: list[npt.NDArray[Any]]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, place: int) -> tuple[npt.NDArray[Any], ...]:
        return tuple(array[place] for array in self.arrays)


def load(path: str, threads: int) -> tuple[Run, dict[str, str]]:
    """Give a function from arrays by an artefact's input names to arrays by output name."""
    checkpoint = acz.load_checkpoint(path)
    inputs_of = ports(checkpoint.spec)
    module = acz.build(checkpoint.spec, "paddle", checkpoint.parameters)
    described = [paddle.static.InputSpec(list(port.shape), port.dtype, port.name) for port in inputs_of]
    model = paddle.Model(ByPosition(module, [port.key for port in inputs_of]), described)
    model.prepare()

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        videos = Videos([inputs[port.name] for port in inputs_of])
        (output,) = model.predict(videos, batch_size=len(videos), stack_outputs=True, verbose=0)
        return {"output": output}

    return run, {}
