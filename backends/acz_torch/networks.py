"""Networks of others that make features of frames: exported programs (.pt2) and TorchScript (.pt)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from acz.backend.protocol import OpenedNetwork
from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError


class Network:
    """An opened network."""

    def __init__(
        self, call: Callable[[Any], Any], shape: tuple[int | None, ...], takes_bytes: bool, output: str | None
    ) -> None:
        self.call, self.shape, self.takes_bytes, self.output = call, shape, takes_bytes, output

    def run(self, rows: Array) -> Array:
        with torch.inference_mode():
            return pick(self.call(torch.from_numpy(rows)), self.output).numpy()


def pick(values: Any, name: str | None) -> Any:
    """The tensor that is wanted of what a network gives: a tensor, several in their order, or several by name."""
    if isinstance(values, dict):
        if name is not None and name not in values:
            raise SpecError(f"it has no output '{name}'; it has {', '.join(values)}")
        return values[name or next(iter(values))]
    if name is not None:
        raise SpecError("its outputs have no names; leave out output")
    return values[0] if isinstance(values, (tuple, list)) else values


def open_network(path: Path, input: str | None, output: str | None) -> OpenedNetwork:
    if input is not None:
        raise SpecError("a file of PyTorch has one input; leave out input")
    if path.suffix != ".pt2":
        return Network(torch.jit.load(path, map_location="cpu").eval(), (), False, output)
    program = torch.export.load(path)
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise SpecError(f"it must have one input, the frames; it has {', '.join(map(str, names))}")
    (value,) = (node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name == names[0])
    shape = tuple(side if isinstance(side, int) else None for side in value.shape)
    module, example = program.module(), program.example_inputs
    named = list(example[1]) if example else []
    return Network(
        (lambda rows: module(**{named[0]: rows})) if named else module, shape, value.dtype == torch.uint8, output
    )
