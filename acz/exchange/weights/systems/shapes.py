"""Finding the parts of a spec that a system's model has, whatever the spec calls them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from acz.foundation.errors import SpecError
from acz.model.layers import LAYERS
from acz.model.spec import PlacedLayer, Spec

WITHOUT_EFFECT = ("rescale", "dropout")
"""Layers that hold no parameter and stand where a system has its own way: scaling of inputs, dropout in training."""
OPEN = {"units", "hidden", "filters", "bias", "score_bias", "initializer", "shift_start", "activation"}
"""Settings that are sizes of parameters, starting values, or checked beside the chain."""
WITH_ACTIVATION = ("dense", "circulant_dense")
SETTLED: Mapping[str, Mapping[str, object]] = {"activation": {"function": "relu"}, "max_pool2d": {"size": 2}}
"""Settings that have no default, or that no shape of a parameter would show."""


def chain(
    spec: Spec,
    part: str,
    types: Sequence[str],
    activations: Sequence[str | None] = (),
    settled: Mapping[str, Mapping[str, object]] = SETTLED,
    open_too: Collection[str] = (),
) -> list[PlacedLayer] | None:
    """The layers of a stream, or of the trunk, if its layers are of these types, in this order, with settings at their defaults.

    `activations` are those of the dense layers, circulant ones too, `settled` what a type of layer has instead of defaults, `open_too` the names of
    settings that may be anything. None where it is another chain.
    """
    layers = [placed for placed in spec.layout if placed.path.startswith(f"{part}.")]
    layers = [placed for placed in layers if placed.layer.type not in WITHOUT_EFFECT]
    if [placed.layer.type for placed in layers] != list(types):
        return None
    for placed in layers:
        excluded = OPEN.union(open_too, {"size"} if placed.layer.type == "conv2d" else ())
        settings = placed.layer.model_dump(exclude=excluded)
        usual = {name: LAYERS[placed.layer.type].model_fields[name].default for name in settings}
        if settings != {**usual, **settled.get(placed.layer.type, {})}:
            return None
    of_dense = [getattr(placed.layer, "activation", None) for placed in layers if placed.layer.type in WITH_ACTIVATION]
    return layers if of_dense == list(activations) else None


def only_stream(spec: Spec) -> str | None:
    """The name of a spec's one stream."""
    return next(iter(spec.streams)) if len(spec.streams) == 1 else None


def is_none_of(system: str, models: str) -> SpecError:
    return SpecError(
        f"the model of --model is not one of {system}'s: {models}, with the settings that the formula there has; "
        "'acz models' lists configurations of them"
    )
