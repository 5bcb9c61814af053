"""A model as a .pt2 file of torch.export."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from acz.backend.signature import OUTPUT, ports
from acz_torch.model import Model


class Deployed(nn.Module):
    """A model under its artefact's names: keyword arguments in, a dictionary out. Parameters keep the spec's paths."""

    def __init__(self, model: Model, masks: str = "bool") -> None:
        super().__init__()
        self.ports = ports(model.spec, masks)
        for name, child in model.named_children():
            self.add_module(name, child)

        def forward(**inputs: Tensor) -> dict[str, Tensor]:
            return {OUTPUT: model({port.key: inputs[port.name] for port in self.ports})}

        # torch.export reads the inputs' names in the signature, and does not get along with **inputs there
        named: Any = forward
        named.__signature__ = Signature([Parameter(port.name, Parameter.KEYWORD_ONLY) for port in self.ports])
        self.forward = named


def export(model: Model, path: Path, metadata: Mapping[str, str], masks: str = "bool") -> None:
    deployed = Deployed(model, masks).eval()
    videos = Dim("videos", min=1)
    sample, axes = {}, {}
    for port in deployed.ports:
        shape = [side or 2 for side in port.shape]
        sample[port.name] = torch.zeros(shape, dtype=getattr(torch, port.dtype), device=model.device)
        frames = Dim(f"{port.key.removesuffix('.mask')}_frames", min=1)
        axes[port.name] = {0: videos, 1: frames} if port.shape.count(None) == 2 else {0: videos}
    with torch.no_grad():
        program = torch.export.export(deployed, (), sample, dynamic_shapes=axes)
    program.example_inputs = ((), sample)  # zeros; compilers such as AOTInductor ask for them
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # this machine's paths, and lines of source
    with path.open("wb") as file:  # given a path, it would write the name into the file
        torch.export.save(program, file, extra_files=dict(metadata))
