"""The --set words that would make a model fit a file, from the shapes in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from acz.exchange.weights.matching import Match, System, match
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError
from acz.model.spec import PlacedLayer, Spec

SETTINGS: dict[tuple[str, str], tuple[str, ...]] = {
    ("attention_cluster", "hidden.weight"): ("features", "hidden"),
    ("attention_cluster", "hidden.bias"): ("hidden",),
    ("attention_cluster", "score.weight"): ("fan_in", "units"),
    ("attention_cluster", "score.bias"): ("units",),
    ("attention_cluster", "alpha"): ("units",),
    ("attention_cluster", "beta"): ("units",),
    ("conv2d", "weight"): ("filters", "", "size", "size"),
    ("conv2d", "bias"): ("filters",),
    ("dense", "weight"): ("fan_in", "units"),
    ("dense", "bias"): ("units",),
}
"""The setting of its layer that each axis of a parameter follows.

`features` is the input's. `fan_in` is the input's too, unless the layer has a hidden layer of its own.
"""


def suggestion(
    system: System,
    spec: Spec,
    arrays: Mapping[str, Array],
    respecify: Callable[[Mapping[str, Any]], Spec],
) -> dict[str, Any]:
    """Find settings under which a file fits.

    Args:
        system: the system of the file.
        spec: a model that the file does not fit.
        arrays: the parameters in the file.
        respecify: gives the model with settings changed.

    Returns:
        Values by dotted path. Empty where the shapes do not tell them.
    """
    try:
        changes = likely_changes(system, spec, arrays, respecify)
        changed = respecify(changes)
        return changes if match(changed, system.table(changed), arrays).fits else {}
    except AczError:
        return {}


def likely_changes(
    system: System,
    spec: Spec,
    arrays: Mapping[str, Array],
    respecify: Callable[[Mapping[str, Any]], Spec],
) -> dict[str, Any]:
    """Read settings off the names and shapes in a file. The arguments are those of `suggestion`.

    Returns:
        Values by dotted path. The file may fit under them or not.

    Raises:
        AczError: the settings give no model of the system.
    """
    changes: dict[str, Any] = dict(system.settings(spec, arrays))
    changed = respecify(changes)
    return changes | _from_shapes(changed, match(changed, system.table(changed), arrays))


def _from_shapes(spec: Spec, matched: Match) -> dict[str, Any]:
    """Settings that follow from parameters of another shape."""
    placed_layers = {placed.path: placed for placed in spec.layout}
    changes: dict[str, Any] = {}
    for path, (_, shape_in_file, shape) in matched.wrong.items():
        stream, layer, name = path.split(".", 2)
        placed = placed_layers[f"{stream}.{layer}"]
        axes = SETTINGS.get((placed.layer.type, name), ())
        if len(axes) != len(shape_in_file):
            continue
        for axis, side_in_file, side in zip(axes, shape_in_file, shape, strict=True):
            setting = _setting(spec, placed, axis)
            if side_in_file != side and setting:
                changes.setdefault(setting, side_in_file)
    return changes


def _setting(spec: Spec, placed: PlacedLayer, axis: str) -> str:
    """The dotted path of the setting that an axis follows, or '' where it follows from others."""
    stream, layer = placed.path.split(".")
    place = "model.trunk" if stream == "trunk" else f"model.streams.{stream}.layers"
    if axis == "fan_in":
        axis = "hidden" if getattr(placed.layer, "hidden", None) else "features"
    if axis == "features":
        if stream == "trunk":
            return ""
        source = spec.streams[stream].input
        of_input = spec.inputs[source]
        return f"model.inputs.{source}.features" if placed.input_shape[-1] == of_input.features else ""
    return f"{place}.{layer}.{axis}" if axis else ""
