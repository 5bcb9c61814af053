"""Inputs of bytes that a model reads as numbers of 0 .. 255, from which hardly any model learns."""

from __future__ import annotations

from acz.model.layers import Layer
from acz.model.spec import Spec

SCALING = ("rescale", "batch_norm", "l2_normalize")
"""Types of layers that bring bytes to the scale of other numbers."""


def warn_of_bytes(spec: Spec) -> str | None:
    """The line that training begins with where a stream reads bytes and scales them nowhere; None for other models."""
    names = [
        name
        for name, entry in spec.inputs.items()
        if entry.dtype == "uint8"
        and any(s.input == name and not any(map(_scales, s.layers.values())) for s in spec.streams.values())
    ]
    if not names:
        return None
    return (
        f"warning: {', '.join(names)}: bytes are read as numbers of 0 .. 255, from which a model hardly learns; begin the "
        "stream with a layer such as {type: rescale, scale: 0.0039} (docs/your-own-features.md)"
    )


def _scales(layer: Layer) -> bool:
    kind: object = getattr(layer, "type", None)
    return kind in SCALING or bool(getattr(layer, "pre_normalize", False))
