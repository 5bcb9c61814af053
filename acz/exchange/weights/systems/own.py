"""Files that a framework saved of a model of this zoo: the names and layouts are the spec's own."""

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
