"""Finds the parts of a system's model in a spec, whatever names the spec has for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from acz.foundation.errors import SpecError
from acz.model.layers import LAYERS
from acz.model.spec import PlacedLayer, Spec

WITHOUT_EFFECT = ("rescale", "dropout")
"""Layers without parameters that a chain may have anywhere: scaling of inputs, and dropout in training."""
OPEN = {"units", "hidden", "filters", "bias", "score_bias", "initializer", "shift_start", "activation"}
"""Settings that a chain may have freely: sizes of parameters, starting values, and what is checked elsewhere."""
WITH_ACTIVATION = ("dense", "circulant_dense")
SETTLED: Mapping[str, Mapping[str, object]] = {"activation": {"function": "relu"}, "max_pool2d": {"size": 2}}
"""Required settings by type of layer, where the default is not meant and no parameter's shape shows them."""
WITHOUT_AUDIO = {"model.streams.audio": None, "model.inputs.audio": None}
"""The changes of a model of rgb and audio, with a stream for each, to one of rgb alone."""


def chain(
    spec: Spec,
    part: str,
    types: Sequence[str],
    activations: Sequence[str | None] = (),
    settled: Mapping[str, Mapping[str, object]] = SETTLED,
    also_open: Collection[str] = (),
) -> list[PlacedLayer] | None:
    """Find a chain of layers in a stream, or in the trunk.

    Args:
        spec: The spec.
        part: The name of the stream, or `trunk`.
        types: The types of the layers, in order.
        activations: The activations of dense and circulant layers, in order.
        settled: Required settings by type of layer. All others must have their defaults.
        also_open: Names of more settings that may have any value.

    Returns:
        The layers, or None where the part is another chain.
    """
    layers = [placed for placed in spec.layout if placed.path.startswith(f"{part}.")]
    layers = [placed for placed in layers if placed.layer.type not in WITHOUT_EFFECT]
    if [placed.layer.type for placed in layers] != list(types):
        return None
    for placed in layers:
        excluded = OPEN.union(also_open, {"size"} if placed.layer.type == "conv2d" else ())
        settings = placed.layer.model_dump(exclude=excluded)
        defaults = {name: LAYERS[placed.layer.type].model_fields[name].default for name in settings}
        if settings != {**defaults, **settled.get(placed.layer.type, {})}:
            return None
    actual = [getattr(placed.layer, "activation", None) for placed in layers if placed.layer.type in WITH_ACTIVATION]
    return layers if actual == list(activations) else None


def only_stream(spec: Spec) -> str | None:
    """The name of a spec's only stream, or None where there are more."""
    return next(iter(spec.streams)) if len(spec.streams) == 1 else None


def not_a_model_of(system: str, models: str) -> SpecError:
    """The error for a spec that is not a model of a system. `models` describes the models that are."""
    return SpecError(
        f"the model of --model is not one of {system}'s: {models}, with the settings of the original formula; "
        "'acz models' lists configurations of them"
    )
