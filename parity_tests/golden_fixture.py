"""A golden fixture in our terms, and the small conversions between an original's arrays and ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(os.environ.get("ACZ_GOLDEN", Path(__file__).parent / "golden"))

Array = np.ndarray


@dataclass
class Gradient:
    """A recorded gradient: of sum(output * cotangent(ours)), or of the loss with labels."""

    loss: str
    labels: Callable[[dict[str, Array]], Array]
    paths: dict[str, tuple[Array, Callable[[Array], Array]]]
    """Our path: what was recorded, and how ours becomes theirs."""
    spec: dict[str, Any] | None = None
    fixed: dict[str, Array] = field(default_factory=dict)
    """Gradients that were recorded of parameters that we hold fixed. They are rounding noise."""


@dataclass
class Golden:
    """One fixture in our terms.

    `expected` maps a name to what was recorded and how it follows from our recorded values.
    """

    name: str
    kind: str
    spec: dict[str, Any]
    parameters: dict[str, Array]
    inputs: dict[str, Array]
    expected: dict[str, tuple[Array, Callable[[dict[str, Array]], Array]]]
    tolerance: dict[str, float]
    training: bool = False
    gradients: list[Gradient] = field(default_factory=list)
    loss: tuple[str, Array, float] | None = None
    exact: dict[str, Array] = field(default_factory=dict)
    """The original's results in float64."""
    wide: dict[str, Array] = field(default_factory=dict)
    """Parameters and inputs that the original in float64 had otherwise than in float32, by the names of a job."""


def same(path: str) -> Callable[[dict[str, Array]], Array]:
    return lambda ours: ours[path]


def as_is(value: Array) -> Array:
    return value


def turned(value: Array) -> Array:
    return value.T


NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_variance": "moving_variance"}
"""TensorFlow's names of what batch normalisation holds."""


def norm_of(z: dict[str, Array], path: str, theirs: str) -> dict[str, Array]:
    """A batch normalisation's parameters and statistics under our paths."""
    return {f"{path}.{ours}": z[f"param/{theirs}/{name}"] for ours, name in NORM.items()}


def after_update(z: dict[str, Array], path: str, theirs: str) -> dict[str, tuple[Array, Callable[..., Array]]]:
    """Its recorded statistics after one step, and the paths of ours."""
    return {
        f"after update, {theirs}/{name}": (z[f"after_update/{theirs}/{name}"], same(f"updated.{path}.{ours}"))
        for ours, name in NORM.items()
        if f"after_update/{theirs}/{name}" in z
    }


def kind_of(about: dict[str, Any]) -> str:
    """The kind of a fixture: its own, or that of a family which one function reads."""
    kind = str(about["kind"])
    if kind.startswith("WILLOW_") and kind.endswith("ModelLF"):
        return "WILLOW model"
    return "LOUPE" if kind.startswith("LOUPE_") else kind


def is_ours(about: dict[str, Any]) -> bool:
    """False for the training of the original NeXtVLAD on padded frames, whose statistics count them; ours never do."""
    config = about["config"]
    padded = about["kind"] == "NeXtVLADModel" or (about["kind"] == "NeXtVLAD" and config["mask"])
    return not (padded and config["is_training"])
