"""A model as a MindIR file."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.train import serialization

from acz.backend.inputs import MASK
from acz.backend.signature import OUTPUT, ports
from acz.foundation.errors import SpecError
from acz_mindspore.devices import in_mode
from acz_mindspore.model import Model

LARGEST = 2**31 - 2**20
"""Bytes of parameters that a file takes: it is a protobuf message, and the graph is in it too."""


class Deployed(nn.Cell):
    """A model whose inputs come in its artefact's order."""

    def __init__(self, model: Model, masks: str = "bool") -> None:
        super().__init__(auto_prefix=False)
        self.model, self.ports = model, ports(model.spec, masks)
        self.keys = [port.key for port in self.ports]
        self.frames = [port.key.removesuffix(MASK) if port.is_mask else "" for port in self.ports]

    def construct(self, *inputs: Tensor) -> Tensor:
        fed = {}
        for key, value in zip(self.keys, inputs):  # noqa: B905  MindSpore's graph mode knows no strict
            fed[key] = value
        for key, frames in zip(self.keys, self.frames):  # noqa: B905
            if frames != "":
                # a loaded graph does not check types, and its kernel of LogicalNot would read the bytes of any
                fed[key] = of_the_frames(fed[frames], fed[key])
        return self.model.finish(self.model.logits(fed))


def export(model: Model, path: Path, metadata: Mapping[str, str], masks: str = "bool") -> None:
    size = sum(parameter.nbytes for parameter in model.get_parameters())
    if size > LARGEST:
        raise SpecError(
            f"a MindIR file holds {LARGEST / 2**30:.1f} GiB of parameters, and this model has {size / 2**30:.1f}; "
            "export it with --format saved-model, paddle or pt2"
        )
    deployed = Deployed(model, masks).set_train(False)
    inputs = [Tensor(shape=port.shape, dtype=getattr(ms, port.dtype)) for port in deployed.ports]

    def describe(file: Any) -> None:
        file.user_info.update(metadata)
        name_ends(file.graph, [port.name for port in deployed.ports])

    with in_mode(ms.GRAPH_MODE), in_one_file(), as_constants(deployed):
        deployed.set_inputs(*inputs)
        ms.export(deployed, *inputs, file_name=str(path), file_format="MINDIR", custom_func=describe)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)  # MindSpore leaves it read-only


@contextmanager
def as_constants(model: nn.Cell) -> Iterator[None]:
    """Let statistics be constants of a graph, not parameters: a MindIR can't say that a parameter is not trained."""
    held = [(cell, dict(cell.parameters_and_names(expand=False))) for _, cell in model.cells_and_names()]
    held = [(cell, own) for cell, own in held if not all(p.requires_grad for p in own.values())]
    for cell, own in held:
        for name, p in own.items():
            if not p.requires_grad:
                delattr(cell, name)
                setattr(cell, name, Tensor(p.asnumpy()))
    try:
        yield
    finally:
        for cell, own in held:
            for name, p in own.items():  # all of them, so that their order is as before
                delattr(cell, name)
                cell.insert_param_to_cell(name, p)


def of_the_frames(x: Tensor, mask: Tensor) -> Tensor:
    """The mask as booleans, (videos, frames); the graph refuses one of another shape than the frames of x.

    Side by side, the two must have equal sides, and nothing is broadcast.
    """
    numbers = ops.expand_dims(ops.cast(mask, ms.float32), 2)
    return ops.cat((ops.cast(x[:, :, :1], ms.float32), numbers), 2)[:, :, 1] != 0.0


def name_ends(graph: Any, inputs: list[str]) -> None:
    """Give a GraphProto's inputs and output their names, each after the graph's own: constants' names have no such prefix."""
    ends = [*graph.input, *graph.output]
    new = {end.name: f"{graph.name}:{name}" for end, name in zip(ends, [*inputs, OUTPUT], strict=True)}
    for end in ends:
        end.name = new[end.name]
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]


@contextmanager
def in_one_file() -> Iterator[None]:
    """Above 1 GiB MindSpore would put the parameters into a folder named after the file, which no longer could be renamed."""
    before = serialization.TOTAL_SAVE
    serialization.TOTAL_SAVE = LARGEST // 1024
    try:
        yield
    finally:
        serialization.TOTAL_SAVE = before
