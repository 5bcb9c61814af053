"""Attention clusters with gating and experts of pomonam/AttentionCluster (AttentionClusterModel).

Files are TensorFlow 1 checkpoints and SavedModels.
The system numbers its variables in the order of their creation.
`dense` and `batch_normalization` follow the attention.
_1 and _2 are the gating before the experts, _3 and _4 the gating after them.
Each modality has a scope of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acz.exchange.weights.matching import Entry, System, Turn
from acz.exchange.weights.systems.shapes import chain, not_a_model_of
from acz.exchange.weights.systems.starter_code import (
    SCOPE,
    is_optimizer,
    norm,
    settings_of_experts,
    untrained_statistics,
    why_left_out,
)
from acz.foundation.arrays import Array
from acz.model.spec import PlacedLayer, Spec

MODALITIES = ("video", "audio")
"""The modalities of the two streams, in the order of the concatenation."""
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
    """The two attention clusters, and the trunk: dense, batch norm, gating, experts, gating.

    Raises:
        SpecError: The spec is another model.
    """

    def layers(part: str, types: str) -> list[PlacedLayer]:
        return chain(spec, part, types.split(), [None] * types.count("dense"), SETTLED, OPEN) or []

    streams = [layers(name, "l2_normalize attention_cluster l2_normalize") for name in spec.streams]
    trunk = layers("trunk", "dense batch_norm deep_context_gating mixture_of_experts deep_context_gating")
    complete = len(streams) == len(MODALITIES) and all(streams) and trunk
    attentions = [stream[1] for stream in streams] if complete else []
    if not complete or any(_has_bias(placed) for placed in (*attentions, trunk[0])):
        raise not_a_model_of(
            "pomonam",
            "two attention clusters with 'normalize_over: units', each between two l2_normalize; then dense, batch "
            "norm, gating, experts and gating (youtube8m/attention_cluster_experts:original)",
        )
    return attentions, trunk


def _has_bias(placed: PlacedLayer) -> bool:
    """True where a layer has parameters that the system has no variables for."""
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
    entries = [entry for entry in entries if entry.path in spec.parameters]  # a layer without shift has no alpha
    kernel = Entry(
        f"{hidden.path}.weight",
        (f"{SCOPE}dense/kernel",),
        _by_unit(attentions),
        batch_power=-0.5,
        note="the system divides attention by the norm of the whole batch, sqrt(videos) times that of a video; "
        f"{hidden.path}.weight was divided by that factor",
    )
    entries += [kernel, *norm(hidden_norm, "", "batch_normalization")]
    for placed, number in ((gating, 1), (class_gating, 3)):
        for local, suffix in (("hidden", number), ("gate", number + 1)):
            entries.append(Entry(f"{placed.path}.{local}.weight", (f"{SCOPE}dense_{suffix}/kernel",)))
            entries += norm(placed, f"{local}_norm.", f"batch_normalization_{suffix}")
    names = {"gates.weight": "gates/weights", "experts.weight": "experts/weights", "experts.bias": "experts/biases"}
    return entries + [Entry(f"{experts.path}.{local}", (f"{SCOPE}{name}",)) for local, name in names.items()]


def _by_unit(attentions: list[PlacedLayer]) -> Turn:
    """Reorder the rows of the dense layer behind the attention: from units of each feature to features of each unit."""
    sizes = [(placed.input_shape[-1], placed.parameters["score.weight"].shape[1]) for placed in attentions]

    def turn(kernel: Array) -> Array:
        if kernel.ndim != 2 or len(kernel) != sum(features * units for features, units in sizes):
            return kernel  # another model's, as its shape will show
        parts, start = [], 0
        for features, units in sizes:
            rows = kernel[start : start + features * units].reshape(features, units, -1)
            parts.append(rows.swapaxes(0, 1).reshape(features * units, -1))
            start += features * units
        return np.concatenate(parts)

    return turn


def _settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    """The settings that differ, from the shapes in a file."""
    attentions, (hidden, _, gating, experts, class_gating) = _parts(spec)

    def sides(name: str) -> tuple[int, int]:
        shape = arrays[f"{SCOPE}{name}"].shape if f"{SCOPE}{name}" in arrays else ()
        return (shape[0], shape[1]) if len(shape) == 2 else (0, 0)

    settings: list[tuple[str, object, object]] = []
    for placed, name in zip(attentions, MODALITIES, strict=True):
        stream, layer = placed.path.split(".")
        path = f"model.streams.{stream}.layers.{layer}"
        features, units = sides(f"{name}/dense/kernel")
        of_input = f"model.inputs.{spec.streams[stream].input}.features"
        settings.append((of_input, placed.input_shape[-1], features))
        settings.append((f"{path}.units", placed.parameters["score.weight"].shape[1], units))
        settings.append((f"{path}.shift", "alpha" in placed.parameters, f"{SCOPE}{name}/alpha" in arrays))
    width = sides("dense/kernel")[1]
    settings.append((f"model.{hidden.path}.units", hidden.output_shape[-1], width))
    for placed, number in ((gating, 1), (class_gating, 3)):
        narrow, wide = sides(f"dense_{number}/kernel")
        settings.append(
            (f"model.{placed.path}.expansion", getattr(placed.layer, "expansion", 0), wide // max(narrow, 1))
        )
    settings += settings_of_experts(experts, arrays)
    return {path: in_file for path, in_spec, in_file in settings if in_file != in_spec}


POMONAM = System(
    "pomonam",
    "TensorFlow 1 checkpoints and SavedModels of pomonam/AttentionCluster on YouTube-8M, with gating and experts",
    ("tensorflow",),
    _table,
    is_optimizer,
    lambda spec, match, arrays: why_left_out(
        arrays, "the norm of the whole batch gives the inputs of weights, and so the moments, another scale"
    ),
    settings=_settings,
    candidates=lambda arrays: [("youtube8m/attention_cluster_experts:original", {})],
    notes=untrained_statistics,
)
