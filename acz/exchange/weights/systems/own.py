"""Files that a framework saved for a model of this zoo. Names and layouts are those of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acz.backend.registry import native_formats
from acz.exchange.weights.matching import Entry, System
from acz.foundation.arrays import Array
from acz.zoo.catalog import config_names
from acz.zoo.config import load_config


def _candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    """Every model of the zoo with these paths, in all of its forms and variants."""
    if any(name.count(".") < 2 for name in arrays):  # a path is stream.layer.name
        return []
    return [(name, {}) for name in config_names() if set(load_config(name).spec.parameters) == set(arrays)]


OWN = System(
    "acz",
    "a state_dict of acz.build's module saved by PyTorch (torch.save), PaddlePaddle (paddle.save), MindSpore "
    "(save_checkpoint) or Keras (.keras), or as plain safetensors",
    (*native_formats(), "safetensors"),
    lambda spec: [Entry(path, (path,)) for path in spec.parameters],
    candidates=_candidates,
)
