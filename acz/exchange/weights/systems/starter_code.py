"""The common parts of TensorFlow systems that are built on YouTube-8M's starter code: their training's variables, and what its export leaves out."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from acz.exchange.weights.matching import Entry
from acz.foundation.arrays import Array
from acz.model.spec import PlacedLayer

SCOPE = "tower/"
"""The beginning of the name of every variable of a network."""
TRAINING = re.compile(r"global_step|beta[12]_power|.*/(Adam|Adagrad|Adadelta|Ftrl|Momentum|RMSProp)(_\d+)?")
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_variance": "moving_variance"}
"""Batch normalisation here and there."""


def is_optimizer(name: str) -> bool:
    """`tower/video/beta` is a parameter, `tower/video/beta/Adam` and `beta1_power` are not."""
    return TRAINING.fullmatch(name) is not None


def norm(placed: PlacedLayer, local: str, name: str) -> list[Entry]:
    """The four arrays of a batch normalisation; `local` begins their names in the layer, '' for the layer's own."""
    return [Entry(f"{placed.path}.{local}{ours}", (f"{SCOPE}{name}/{theirs}",)) for ours, theirs in NORM.items()]


def of_training(arrays: Mapping[str, Array], why: str) -> str:
    """Why the variables of training are left out."""
    return "it is the step alone" if set(arrays) == {"global_step"} else why


def untrained_statistics(arrays: Mapping[str, Array]) -> list[str]:
    """The remark where moving means and variances are the 0 and 1 that they start from: the export restores trained variables only."""
    scopes = [name.removesuffix("/moving_mean") for name in arrays if name.endswith("/moving_mean")]
    found = [
        scope
        for scope in scopes
        if not np.any(arrays[f"{scope}/moving_mean"]) and np.all(arrays.get(f"{scope}/moving_variance", 0) == 1)
    ]
    if not found:
        return []
    return [
        f"the moving means and variances of {', '.join(found)} are 0 and 1, as before any training: the original's export leaves them "
        "out of a SavedModel; its model.ckpt-N has them"
    ]


def settings_of_experts(placed: PlacedLayer, arrays: Mapping[str, Array]) -> list[tuple[str, object, object]]:
    """Classes and mixtures of a mixture of experts: the setting, its value here and its value in a file."""

    def width(name: str) -> int:
        value = arrays.get(f"{SCOPE}{name}")
        return value.shape[1] if value is not None and value.ndim == 2 else 0

    of_experts = width("experts/weights")
    classes = max(width("gates/weights") - of_experts, 0)  # a gate more for each class
    here = placed.layer.model_dump()
    return [
        (f"model.{placed.path}.classes", here["classes"], classes),
        (f"model.{placed.path}.mixtures", here["mixtures"], of_experts // max(classes, 1)),
    ]
