"""Files that a framework saved for a model of this zoo. Names and layouts are those of the spec."""

from __future__ import annotations

from acz.backend.registry import native_formats
from acz.exchange.weights.matching import Entry, System

OWN = System(
    "acz",
    "a state_dict of acz.build's module saved by PyTorch (torch.save), PaddlePaddle (paddle.save), MindSpore "
    "(save_checkpoint) or Keras (.keras)",
    tuple(native_formats()),
    lambda spec: [Entry(path, (path,)) for path in spec.parameters],
)
