"""Parts that systems built on YouTube-8M's TensorFlow starter code share."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from acz.exchange.weights.matching import Entry
from acz.foundation.arrays import Array
from acz.model.spec import PlacedLayer

SCOPE = "tower/"
"""The scope of every variable of a network."""
TRAINING = re.compile(r"global_step|beta[12]_power|.*/(Adam|Adagrad|Adadelta|Ftrl|Momentum|RMSProp)(_\d+)?")
"""Variables of training."""
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_variance": "moving_variance"}
"""The parameters of batch normalisation: the spec's names to the system's."""


def is_optimizer(name: str) -> bool:
    """True for variables of training: `tower/video/beta/Adam` and `beta1_power`, but not `tower/video/beta`."""
    return TRAINING.fullmatch(name) is not None


def norm(placed: PlacedLayer, local: str, name: str) -> list[Entry]:
    """The entries of a batch normalisation. `local` begins its parameters' names in the layer, and may be empty."""
    return [
        Entry(f"{placed.path}.{local}{own_name}", (f"{SCOPE}{name}/{file_name}",))
        for own_name, file_name in NORM.items()
    ]


def why_left_out(arrays: Mapping[str, Array], reason: str) -> str:
    """The reason why the variables of training are left out. `reason` is that for more than the step."""
    return "it is the step alone" if set(arrays) == {"global_step"} else reason


def untrained_statistics(arrays: Mapping[str, Array]) -> list[str]:
    """A note where moving means are 0 and variances 1, as before training.

    The original's export restores trained variables only.
    """
    scopes = [name.removesuffix("/moving_mean") for name in arrays if name.endswith("/moving_mean")]
    untrained = [
        scope
        for scope in scopes
        if not np.any(arrays[f"{scope}/moving_mean"]) and np.all(arrays.get(f"{scope}/moving_variance", 0) == 1)
    ]
    if not untrained:
        return []
    return [
        f"the moving means and variances of {', '.join(untrained)} are 0 and 1, as before any training: the original's "
        "export leaves them out of a SavedModel; its model.ckpt-N has them"
    ]


def settings_of_experts(placed: PlacedLayer, arrays: Mapping[str, Array]) -> list[tuple[str, object, object]]:
    """The classes and mixtures of a mixture of experts: path of the setting, value in the spec, value in the file.

    Empty where the file has no dense experts.
    """

    def width(name: str) -> int:
        value = arrays.get(f"{SCOPE}{name}")
        return value.shape[1] if value is not None and value.ndim == 2 else 0

    experts = width("experts/weights")
    classes = max(width("gates/weights") - experts, 0)  # each class has one more gate than experts
    if not classes:
        return []
    settings = placed.layer.model_dump()
    return [
        (f"model.{placed.path}.classes", settings["classes"], classes),
        (f"model.{placed.path}.mixtures", settings["mixtures"], experts // classes),
    ]
