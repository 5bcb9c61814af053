"""The --set words that would make a model fit a file, read off the shapes in it."""

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
"""The setting of its layer that each axis of a parameter follows; `features` is the input's, `fan_in` is that where nothing lies between."""


def suggestion(
    system: System,
    spec: Spec,
    arrays: Mapping[str, Array],
    respecify: Callable[[Mapping[str, Any]], Spec],
) -> dict[str, Any]:
    """Settings under which the file fits, or none where they can't be told. `respecify` gives the spec with settings changed."""
    changes: dict[str, Any] = dict(system.settings(spec, arrays))
    try:
        changed = respecify(changes)
        changes |= _from_shapes(changed, match(changed, system.table(changed), arrays))
        changed = respecify(changes)
        return changes if match(changed, system.table(changed), arrays).fits else {}
    except AczError:
        return {}


def _from_shapes(spec: Spec, result: Match) -> dict[str, Any]:
    placed_layers = {placed.path: placed for placed in spec.layout}
    changes: dict[str, Any] = {}
    for path, (_, there, here) in result.wrong.items():
        stream, layer, name = path.split(".", 2)
        placed = placed_layers[f"{stream}.{layer}"]
        axes = SETTINGS.get((placed.layer.type, name), ())
        if len(axes) != len(there):
            continue
        for axis, found, wanted in zip(axes, there, here, strict=True):
            setting = _setting(spec, placed, axis)
            if found != wanted and setting:
                changes.setdefault(setting, found)
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
