"""Compact networks of araujoalexandre/youtube8m-circulant (CirulantDiagonalNetwork).

Files are TensorFlow 1 checkpoints and SavedModels. Each modality runs through its embeddings: DBoF, NetVLAD, Fisher
vectors, moments. A dense or circulant layer, batch norm and relu6 follow each embedding. The classifier reads their
concatenation. In a spec each embedding of each modality is a stream, whatever its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from acz.exchange.weights.matching import Entry, System, Turn
from acz.exchange.weights.systems.compact import EMBEDDINGS, MODALITIES, NORM, compact_candidates, gathered_name
from acz.exchange.weights.systems.shapes import WITH_ACTIVATION, chain, not_a_model_of
from acz.exchange.weights.systems.starter_code import (
    SCOPE,
    is_optimizer,
    norm,
    settings_of_experts,
    untrained_statistics,
    why_left_out,
)
from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError
from acz.model.spec import PlacedLayer, Spec

BEFORE = ("", "l2_normalize", "batch_norm", "l2_normalize batch_norm")
BEHIND = ("dense batch_norm activation", "circulant_dense batch_norm activation")
TRUNKS = ("mixture_of_experts context_gating", "mixture_of_experts", "dense")
POOLING: Mapping[str, set[object]] = {
    "DBoF": {("max",), ("mean",), ("l2_norm",)},
    "Moment_Stats": {("mean", "variance")},
}
SETTLED: Mapping[str, Mapping[str, object]] = {
    "batch_norm": NORM,
    "activation": {"function": "relu6"},
    "netvlad": {"norm": NORM},
    "net_fv": {"norm": NORM},
    "context_gating": {"norm": NORM},
}
OPEN = ("clusters", "coupling", "pooling", "factors", "diagonal", "product", "circulant", "classes", "mixtures")
CIRCULANT_SIDES = {"gates": "gates", "experts": "expert"}
BLOCK = re.compile(r"(.*/)weights(?:_(circ|diag)(\d+)_f(\d+)|(\d*))")
"""A vector of a circulant layer, for a block of a factor.

In a circulant mixture of experts without diagonals it is for a block.
"""


@dataclass(frozen=True)
class _Stream:
    """One embedding of one modality."""

    modality: str
    kind: str
    before: list[PlacedLayer]
    """L2 normalisation of the input's features, batch norm, both, or neither."""
    embedding: list[PlacedLayer]
    behind: list[PlacedLayer]
    """The dense or circulant layer, and its batch norm."""

    @property
    def place(self) -> tuple[int, int]:
        """The place in the concatenation, to sort by."""
        return MODALITIES.index(self.modality), list(EMBEDDINGS).index(self.kind)

    @property
    def scope(self) -> str:
        return f"{self.modality}/{self.kind}_{self.modality}/"


def _layers(spec: Spec, part: str, types: str) -> list[PlacedLayer] | None:
    """The layers of a stream or the trunk, if they have these types and the system's settings."""
    names = types.split()
    return chain(spec, part, names, [None] * sum(name in WITH_ACTIVATION for name in names), SETTLED, OPEN)


def _stream(spec: Spec, name: str) -> _Stream | None:
    """Find the embedding of a stream. None where the system has no such embedding."""
    number = list(spec.inputs).index(spec.streams[name].input)
    for kind, (_, forms) in EMBEDDINGS.items():
        for before, form, behind in product(BEFORE, forms, BEHIND):
            layers = _layers(spec, name, f"{before} {form} {behind}")
            if (
                layers is None
                or number >= len(MODALITIES)
                or any("bias" in placed.parameters for placed in layers if placed.layer.type in WITH_ACTIVATION)
            ):
                continue
            first = len(before.split())
            embedding = layers[first : first + len(form.split())]
            if getattr(embedding[-1].layer, "pooling", None) in POOLING.get(kind, {None}):
                return _Stream(MODALITIES[number], kind, layers[:first], embedding, layers[-3:-1])
    return None


def _parts(spec: Spec) -> tuple[list[_Stream], list[PlacedLayer]]:
    """The streams in the spec's order, and the trunk.

    Raises:
        SpecError: The spec is another model, or its streams are in another order than a circulant classifier needs.
    """
    candidates = [_stream(spec, name) for name in spec.streams]
    trunk = next(filter(None, (_layers(spec, "trunk", types) for types in TRUNKS)), None)
    streams = [stream for stream in candidates if stream]
    places = {stream.place for stream in streams}
    if trunk is None or len(streams) < len(candidates) or len(places) < len(streams):
        raise not_a_model_of(
            "youtube8m-circulant",
            "streams of rgb and audio, each with DBoF, NetVLAD, NetFV or moments, a dense or circulant layer, batch "
            "norm and relu6; then a mixture of experts with context gating or without, or a dense layer",
        )
    if getattr(trunk[0].layer, "circulant", None) and streams != sorted(streams, key=lambda stream: stream.place):
        raise SpecError(
            "the classifier of --model is circulant, so the order of the streams matters: first those of rgb, then "
            "those of audio, each in the order DBoF, NetVLAD, NetFV, moments"
        )
    return streams, trunk


def _table(spec: Spec) -> list[Entry]:
    streams, trunk = _parts(spec)
    widths = [entry.features or 0 for entry in spec.inputs.values()]
    entries = []
    for stream in streams:
        for placed in stream.before:
            if placed.parameters:
                entries += _of_input(placed, MODALITIES.index(stream.modality), widths)
        entries += _embedding(stream) + _behind(stream)
    return entries + _classifier(trunk, _by_stream(streams))


def _of_input(placed: PlacedLayer, number: int, widths: list[int]) -> list[Entry]:
    """Batch norm of the input. The system has one over all features of a frame; each stream of a spec has its part."""
    start = sum(widths[:number])
    return [
        Entry(
            entry.path,
            entry.names,
            lambda value: value[start : start + widths[number]] if len(value) == sum(widths) else value,
        )
        for entry in norm(placed, "", "input_bn")
    ]


def _product(placed: PlacedLayer, scope: str, dense: str) -> list[Entry]:
    """The entries of a dense layer, which the system calls `dense`, or of a circulant layer."""
    if placed.layer.type == "dense":
        return [Entry(f"{placed.path}.weight", (f"{SCOPE}{scope}{dense}",))]
    kinds = {"weight": "circ", "diagonal": "diag"}
    return [
        Entry(f"{placed.path}.{local}", (gathered_name(f"{SCOPE}{scope}", kinds[local]),))
        for local in placed.parameters
    ]


def _embedding(stream: _Stream) -> list[Entry]:
    placed, scope = stream.embedding[0], stream.scope
    if stream.kind == "Moment_Stats":
        return []
    if stream.kind == "DBoF":
        return _product(placed, scope, "cluster_weights") + norm(stream.embedding[1], "", f"{scope}cluster_bn")
    names = {"assignment.weight": "cluster_weights", "centres": "cluster_weights2", "spread": "covar_weights"}
    arrays = [
        Entry(f"{placed.path}.{local}", (f"{SCOPE}{scope}{name}",), _matrix)
        for local, name in names.items()
        if local in placed.parameters
    ]
    return arrays + norm(placed, "norm.", f"{scope}cluster_bn")


def _matrix(value: Array) -> Array:
    """Turn centres (1, features, clusters) into (features, clusters). Other arrays are returned as they are."""
    return value[0] if value.ndim == 3 and len(value) == 1 else value


def _behind(stream: _Stream) -> list[Entry]:
    dense, batch_norm = stream.behind
    inner = EMBEDDINGS[stream.kind][0]
    scope = f"{stream.scope}{inner}/"
    return _product(dense, scope, f"{inner}_fc_hidden_weights") + norm(batch_norm, "", f"{scope}{inner}_fc_hidden_bn")


def _otherwise(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Layers with another formula: L2 normalisations of frames, and diagonals of another kind.

    No weight can make up for the first, and the second have the same names in a file.
    """
    normalized = (
        "the system divides a frame by the norm of rgb and audio together, this layer by that of its own features; "
        "without the layer, on features that were divided in the system's way, the outputs are the original's"
    )
    formulas: dict[str, str] = {}
    for stream in _parts(spec)[0]:
        formulas |= {placed.path: normalized for placed in stream.before if not placed.parameters}
        placed = stream.behind[0]
        diagonal = arrays.get(gathered_name(f"{SCOPE}{stream.scope}{EMBEDDINGS[stream.kind][0]}/", "diag"))
        if diagonal is not None and "diagonal" in placed.parameters:
            in_file = "fixed" if np.all(np.abs(diagonal) == 1) else "learned"
            in_spec = getattr(placed.layer, "diagonal", "")
            if in_file != in_spec:
                formulas[placed.path] = (
                    f"its diagonal is {in_file} in the file and {in_spec} in the model; set its 'diagonal' to {in_file}"
                )
    return formulas


def _by_stream(streams: list[_Stream]) -> Turn:
    """Reorder the rows of the layer behind the concatenation, from the system's order of streams to the spec's."""
    widths = {stream.place: stream.behind[-1].output_shape[-1] for stream in streams}
    starts, total = {}, 0
    for place in sorted(widths):
        starts[place] = total
        total += widths[place]

    def turn(value: Array) -> Array:
        if len(value) != total:
            return value  # another model's, as its shape will show
        return np.concatenate([value[starts[place] : starts[place] + width] for place, width in widths.items()])

    return turn


def _classifier(trunk: list[PlacedLayer], turn: Turn) -> list[Entry]:
    first = trunk[0]
    if first.layer.type == "dense":
        weights = Entry(f"{first.path}.weight", (f"{SCOPE}fully_connected/weights",), turn)
        return [weights, Entry(f"{first.path}.bias", (f"{SCOPE}fully_connected/biases",))]
    entries = []
    for local in first.parameters:
        side, kind = local.split(".")
        if getattr(first.layer, "circulant", None):
            scope = f"{SCOPE}circulant_{CIRCULANT_SIDES[side]}/"
            names = {
                "weight": (gathered_name(scope, "circ"), gathered_name(scope, "")),
                "diagonal": (gathered_name(scope, "diag"),),
                "bias": (f"{scope}biases",),
            }
            entries.append(Entry(f"{first.path}.{local}", names[kind]))
        elif kind == "weight":
            entries.append(Entry(f"{first.path}.{local}", (f"{SCOPE}{side}/weights",), turn))
        else:
            entries.append(Entry(f"{first.path}.{local}", (f"{SCOPE}{side}/biases",)))
    for gating in trunk[1:]:
        entries.append(Entry(f"{gating.path}.weight", (f"{SCOPE}gating_video_level/gating_weights",)))
        entries += norm(gating, "norm.", "gating_video_level/gating_bn")
    return entries


def _gather(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Join the vectors (1, features) of each circulant layer into one array (factors, blocks, features)."""
    groups: dict[str, dict[tuple[int, int], str]] = {}
    for name in arrays:
        vector = BLOCK.fullmatch(name)
        if vector and (vector[2] or "/circulant_" in vector[1]):
            place = (int(vector[4] or 0), int(vector[3] or vector[5] or 0))  # factor, block
            groups.setdefault(gathered_name(vector[1], vector[2] or ""), {})[place] = name
    joined = dict(arrays)
    for group, names in groups.items():
        factors, blocks = (1 + max(place[axis] for place in names) for axis in (0, 1))
        vectors = [arrays[names[place]] for place in sorted(names)]
        equal_shapes = all(v.ndim == 2 and v.shape == vectors[0].shape and len(v) == 1 for v in vectors)
        if len(names) == factors * blocks and equal_shapes:  # else they are listed as left over
            joined[group] = np.concatenate(vectors).reshape(factors, blocks, -1)
            for name in names.values():
                del joined[name]
    return joined


def _settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    """The settings that differ: numbers of clusters, units, features, classes and mixtures."""
    streams, trunk = _parts(spec)
    settings: list[tuple[str, object, object]] = []
    for stream in streams:
        inner = EMBEDDINGS[stream.kind][0]
        fitted = {"cluster_bn/gamma": stream.embedding[0], f"{inner}/{inner}_fc_hidden_bn/gamma": stream.behind[0]}
        for name, placed in fitted.items():
            value = arrays.get(f"{SCOPE}{stream.scope}{name}")
            setting = "units" if hasattr(placed.layer, "units") else "clusters"
            if value is not None and hasattr(placed.layer, setting):
                part, layer = placed.path.split(".")
                path = f"model.streams.{part}.layers.{layer}.{setting}"
                settings.append((path, getattr(placed.layer, setting), value.size))
        value = arrays.get(f"{SCOPE}{stream.scope}cluster_weights")
        if value is not None and value.ndim == 2:
            source = spec.streams[stream.embedding[0].path.split(".")[0]].input
            settings.append((f"model.inputs.{source}.features", spec.inputs[source].features, len(value)))
    if trunk[0].layer.type == "mixture_of_experts":
        settings += settings_of_experts(trunk[0], arrays)
    return {path: in_file for path, in_spec, in_file in settings if in_file != in_spec}


YOUTUBE8M_CIRCULANT = System(
    "youtube8m-circulant",
    "TensorFlow 1 checkpoints and SavedModels of araujoalexandre/youtube8m-circulant, dense and circulant",
    ("tensorflow",),
    _table,
    is_optimizer,
    lambda spec, match, arrays: why_left_out(arrays, "training resumes from the weights alone"),
    settings=_settings,
    candidates=compact_candidates,
    otherwise=_otherwise,
    notes=untrained_statistics,
    gather=_gather,
)
