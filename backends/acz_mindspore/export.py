"""A model as a MindIR file."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from acz.export.signature import OUTPUT, ports
from acz_mindspore.model import Model, in_mode

EXPORT = "mindir"


class Deployed(nn.Cell):
    """A model under its artefact's names, in its order."""

    def __init__(self, model: Model) -> None:
        super().__init__(auto_prefix=False)
        self.model, self.ports = model, ports(model.spec)
        self.keys = [port.key for port in self.ports]

    def construct(self, *inputs: Tensor) -> Tensor:
        fed = {}
        for key, value in zip(self.keys, inputs):
            fed[key] = value
        return self.model(fed)


def export(model: Model, path: Path, metadata: Mapping[str, str]) -> None:
    deployed = Deployed(model).set_train(False)
    inputs = [Tensor(shape=port.shape, dtype=getattr(ms, port.dtype)) for port in deployed.ports]

    def describe(file: Any) -> None:
        file.user_info.update(metadata)
        name_ends(file.graph, [port.name for port in deployed.ports])

    with in_mode(ms.GRAPH_MODE):
        deployed.set_inputs(*inputs)
        ms.export(deployed, *inputs, file_name=str(path), file_format="MINDIR", custom_func=describe)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)  # MindSpore leaves it read-only


def name_ends(graph: Any, inputs: list[str]) -> None:
    """Give a GraphProto's inputs and its output their names, under the graph's own: constants have none before theirs."""
    ends = [*graph.input, *graph.output]
    new = {end.name: f"{graph.name}:{name}" for end, name in zip(ends, [*inputs, OUTPUT], strict=True)}
    for end in ends:
        end.name = new[end.name]
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
