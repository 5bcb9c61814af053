"""Cases that tests of native modules share: the zoo's tiny models, and inputs with padded frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acz.foundation.arrays import Array, Arrays
from acz.model.spec import Spec
from acz.parity.cases import cases
from acz.zoo.catalog import config_names
from tests.documents import ROOT, read_blocks

EXPERTS = "youtube8m/attention_cluster_experts:tiny"
"""A model with batch norms, dropout, two inputs, gating and a mixture of experts."""


def tiny_specs() -> dict[str, Spec]:
    """The tiny variants of the zoo's models and of their forms, by name."""
    names = {name.partition(":")[0] for name in config_names()}
    return {case.model: case.spec for case in cases() if case.model.partition(":")[0] in names}


def padded_inputs(spec: Spec, videos: int = 6, seed: int = 0) -> Arrays:
    """Inputs of a spec in float32, with masks. Each third video is padded behind its first half; none is empty."""
    source, inputs = np.random.default_rng(seed), {}
    for name, entry in spec.inputs.items():
        shape = (videos, *entry.resolve())
        if entry.dtype == "uint8":
            inputs[name] = source.integers(0, 256, shape).astype(np.uint8)
        else:
            inputs[name] = source.standard_normal(shape).astype(np.float32)
        if entry.has_frames:
            mask = np.ones(shape[:2], bool)
            mask[::3, max(1, shape[1] // 2) :] = False
            inputs[f"{name}.mask"] = mask
    return inputs


def tensors(inputs: Mapping[str, Array]) -> dict[str, Any]:
    """Arrays as tensors of PyTorch."""
    import torch

    return {name: torch.from_numpy(value) for name, value in inputs.items()}


def without_dropout(module: Any) -> Any:
    """Keep every value, in training too: what a user types for PyTorch's own dropout."""
    import torch

    for part in module.modules():
        if isinstance(part, (torch.nn.Dropout, torch.nn.Dropout2d)):
            part.p = 0.0
    return module


def page_programs(framework: str) -> list[str]:
    """The Python blocks of a framework's training page, each with the hidden lines before it, and its words replaced."""
    programs, prelude = [], ""
    for block in read_blocks(ROOT / f"docs/training/{framework}.md"):
        prelude += "".join(f"{rest}\n" for word, rest in block.marks if word == "python")
        text = block.text
        for pair in filter(None, (block.mark("run") or "").split(";")):
            text = text.replace(*(part.strip() for part in pair.split("=>")))
        if block.language == "python" and block.mark("not run") is None:
            programs.append(prelude + text)
    return programs
