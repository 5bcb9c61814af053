"""Attention clusters with gating and experts of pomonam/AttentionCluster (AttentionClusterModel). TensorFlow 1 checkpoints and SavedModels.

Its variables are numbered in the order in which it makes them: dense and batch_normalization behind the attention, _1 and _2 in the gating before
the experts, _3 and _4 in the one after them; those of each modality are in a scope of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.exchange.weights.matching import Entry, System, Turn
from acz.exchange.weights.systems.shapes import chain, is_none_of
from acz.exchange.weights.systems.starter_code import (
    SCOPE,
    is_optimizer,
    norm,
    of_training,
    settings_of_experts,
    untrained_statistics,
)
from acz.foundation.arrays import Array
from acz.model.spec import PlacedLayer, Spec

MODALITIES = ("video", "audio")
"""The inputs of the two streams, in the order of the concatenation."""
NORM = {"type": "batch_norm", "epsilon": 1e-3, "decay": 0.99, "variance": "biased"}
SETTLED: Mapping[str, Mapping[str, object]] = {
    "attention_cluster": {
        "normalize_over": "units",
        "score_scale": "1/sqrt(features)",
        "score_norm": NORM,
        "pre_normalize": True,
        "output_scale": "1",
    },
    "batch_norm": NORM,
    "deep_context_gating": {"norm": NORM},
}
OPEN = ("shift", "score_dropout", "dropout", "expansion", "classes", "mixtures")


def _parts(spec: Spec) -> tuple[list[PlacedLayer], list[PlacedLayer]]:
    """The two attention clusters, and the trunk: dense, batch norm, gating, experts, gating. Raises SpecError."""

    def layers(part: str, types: str) -> list[PlacedLayer]:
        found = chain(spec, part, types.split(), [None] * types.count("dense"), SETTLED, OPEN)
        return found or []

    attentions = [layers(name, "l2_normalize attention_cluster l2_normalize") for name in spec.streams]
    trunk = layers("trunk", "dense batch_norm deep_context_gating mixture_of_experts deep_context_gating")
    several = len(attentions) == len(MODALITIES) and all(attentions)
    if not (several and trunk) or any(_biased(placed) for placed in (*(one[1] for one in attentions), trunk[0])):
        raise is_none_of(
            "pomonam",
            "two attention clusters, each behind and before an l2_normalize, with 'normalize_over: units', and dense, batch norm, "
            "gating, experts and gating (youtube8m/attention_cluster_experts:original)",
        )
    return [one[1] for one in attentions], trunk


def _biased(placed: PlacedLayer) -> bool:
    """Tell whether a layer has parameters that no variable of the system goes into."""
    return not {"hidden.weight", "score.bias", "bias"}.isdisjoint(placed.parameters)


def _table(spec: Spec) -> list[Entry]:
    attentions, (hidden, hidden_norm, gating, experts, class_gating) = _parts(spec)
    entries = []
    for placed, name in zip(attentions, MODALITIES, strict=True):
        entries += [
            Entry(f"{placed.path}.score.weight", (f"{SCOPE}{name}/dense/kernel",)),
            *norm(placed, "score_norm.", f"{name}/batch_normalization"),
            *(Entry(f"{placed.path}.{shift}", (f"{SCOPE}{name}/{shift}",)) for shift in ("alpha", "beta")),
        ]
    entries = [entry for entry in entries if entry.path in spec.parameters]  # without shift there is no alpha
    kernel = Entry(
        f"{hidden.path}.weight",
        (f"{SCOPE}dense/kernel",),
        _by_unit(attentions),
        batch_power=-0.5,
        note=f"its attention is divided by the norm of the whole batch, sqrt(videos) times a video's: {hidden.path}.weight is divided by that",
    )
    entries += [kernel, *norm(hidden_norm, "", "batch_normalization")]
    for placed, number in ((gating, 1), (class_gating, 3)):
        for local, of in (("hidden", number), ("gate", number + 1)):
            entries.append(Entry(f"{placed.path}.{local}.weight", (f"{SCOPE}dense_{of}/kernel",)))
            entries += norm(placed, f"{local}_norm.", f"batch_normalization_{of}")
    theirs = {"gates.weight": "gates/weights", "experts.weight": "experts/weights", "experts.bias": "experts/biases"}
    return entries + [Entry(f"{experts.path}.{local}", (f"{SCOPE}{name}",)) for local, name in theirs.items()]


def _by_unit(attentions: list[PlacedLayer]) -> Turn:
    """Rows of the dense layer behind the attention: there the units of a feature lie side by side, here the features of a unit."""
    sizes = [(placed.input_shape[-1], placed.parameters["score.weight"].shape[1]) for placed in attentions]

    def turn(kernel: Array) -> Array:
        if kernel.ndim != 2 or len(kernel) != sum(features * units for features, units in sizes):
            return kernel  # of another model, which its shape shows
        parts, at = [], 0
        for features, units in sizes:
            rows = kernel[at : at + features * units].reshape(features, units, -1)
            parts.append(rows.swapaxes(0, 1).reshape(features * units, -1))
            at += features * units
        return np.concatenate(parts)

    return turn


def _settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    """Every size that differs, read off the shapes."""
    attentions, (hidden, _, gating, experts, class_gating) = _parts(spec)

    def sides(name: str) -> tuple[int, int]:
        shape = arrays[f"{SCOPE}{name}"].shape if f"{SCOPE}{name}" in arrays else ()
        return (shape[0], shape[1]) if len(shape) == 2 else (0, 0)

    found: list[tuple[str, object, object]] = []
    for placed, name in zip(attentions, MODALITIES, strict=True):
        stream, layer = placed.path.split(".")
        place = f"model.streams.{stream}.layers.{layer}"
        features, units = sides(f"{name}/dense/kernel")
        of_input = f"model.inputs.{spec.streams[stream].input}.features"
        found.append((of_input, placed.input_shape[-1], features))
        found.append((f"{place}.units", placed.parameters["score.weight"].shape[1], units))
        found.append((f"{place}.shift", "alpha" in placed.parameters, f"{SCOPE}{name}/alpha" in arrays))
    width = sides("dense/kernel")[1]
    found.append((f"model.{hidden.path}.units", hidden.output_shape[-1], width))
    for placed, number in ((gating, 1), (class_gating, 3)):
        narrow, wide = sides(f"dense_{number}/kernel")
        found.append((f"model.{placed.path}.expansion", getattr(placed.layer, "expansion", 0), wide // max(narrow, 1)))
    found += settings_of_experts(experts, arrays)
    return {setting: there for setting, here, there in found if there != here}


POMONAM = System(
    "pomonam",
    "TensorFlow 1 checkpoints and SavedModels of pomonam/AttentionCluster on YouTube-8M, with gating and experts",
    ("tensorflow",),
    _table,
    is_optimizer,
    lambda spec, match, arrays: of_training(
        arrays, "its moments are of weights whose inputs are of another scale, for the whole batch's norm"
    ),
    settings=_settings,
    notes=untrained_statistics,
)
