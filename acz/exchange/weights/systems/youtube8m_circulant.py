"""Compact networks of araujoalexandre/youtube8m-circulant (CirulantDiagonalNetwork). TensorFlow 1 checkpoints and SavedModels.

Each modality runs through its embeddings (DBoF, NetVLAD, Fisher vectors, moments), each followed by a dense or circulant layer, batch norm
and relu6; all are concatenated for the classifier. Here each embedding of each modality is a stream, whatever its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from acz.exchange.weights.matching import Entry, System, Turn
from acz.exchange.weights.systems.shapes import WITH_ACTIVATION, chain, is_none_of
from acz.exchange.weights.systems.starter_code import (
    SCOPE,
    is_optimizer,
    norm,
    of_training,
    settings_of_experts,
    untrained_statistics,
)
from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError
from acz.model.spec import PlacedLayer, Spec

MODALITIES = ("video", "audio")
"""The suffixes of the inputs, in their order."""
EMBEDDINGS = {
    "DBoF": ("dbof", ("dense batch_norm activation frame_pool", "circulant_dense batch_norm activation frame_pool")),
    "NetVLAD": ("netvlad", ("netvlad",)),
    "Fisher_vector": ("fv", ("net_fv",)),
    "Moment_Stats": ("moments", ("frame_pool",)),
}
"""Their names, in the order of the concatenation of a modality's: the scope of the layer behind it, and the layers that it can be."""
BEFORE = ("", "l2_normalize", "batch_norm", "l2_normalize batch_norm")
BEHIND = ("dense batch_norm activation", "circulant_dense batch_norm activation")
TRUNKS = ("mixture_of_experts context_gating", "mixture_of_experts", "dense")
POOLING: Mapping[str, set[object]] = {
    "DBoF": {("max",), ("mean",), ("l2_norm",)},
    "Moment_Stats": {("mean", "variance")},
}
NORM = {"type": "batch_norm", "epsilon": 1e-3, "decay": 0.999, "variance": "unbiased"}
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
"""A vector of a circulant layer: of a block of a factor; or, in a circulant mixture of experts without diagonals, of a block."""


@dataclass(frozen=True)
class _Stream:
    """One embedding of one modality."""

    modality: str
    kind: str
    before: list[PlacedLayer]
    """L2 normalisation of the input's features, or batch norm, or both, or neither."""
    embedding: list[PlacedLayer]
    behind: list[PlacedLayer]
    """Dense or circulant, and batch norm."""

    @property
    def place(self) -> tuple[int, int]:
        """In the concatenation."""
        return MODALITIES.index(self.modality), list(EMBEDDINGS).index(self.kind)

    @property
    def scope(self) -> str:
        return f"{self.modality}/{self.kind}_{self.modality}/"


def _layers(spec: Spec, part: str, types: str) -> list[PlacedLayer] | None:
    """The layers of a stream or the trunk, if they are of these types, with the system's settings."""
    names = types.split()
    return chain(spec, part, names, [None] * sum(name in WITH_ACTIVATION for name in names), SETTLED, OPEN)


def _stream(spec: Spec, name: str) -> _Stream | None:
    """The stream as one of the system's, or None."""
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
    """The streams in the spec's order, and the trunk. Raises SpecError."""
    streams = [_stream(spec, name) for name in spec.streams]
    trunk = next(filter(None, (_layers(spec, "trunk", types) for types in TRUNKS)), None)
    found = [stream for stream in streams if stream]
    if trunk is None or len(found) < len(streams) or len({stream.place for stream in found}) < len(found):
        raise is_none_of(
            "youtube8m-circulant",
            "streams of rgb and audio, each DBoF, NetVLAD, NetFV or moments, with a dense or circulant layer, "
            "batch norm and relu6 behind it; then a mixture of experts with context gating or without, or a dense layer",
        )
    if getattr(trunk[0].layer, "circulant", None) and found != sorted(found, key=lambda stream: stream.place):
        raise SpecError(
            "the classifier of --model is circulant, which settles the order of what comes into it: first rgb's streams, then audio's, "
            "of each DBoF, NetVLAD, NetFV, moments"
        )
    return found, trunk


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
    """Batch norm of the input: there one over all features of a frame, here a part of it in each stream."""
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
    """A dense layer of that name, or a circulant one."""
    if placed.layer.type == "dense":
        return [Entry(f"{placed.path}.weight", (f"{SCOPE}{scope}{dense}",))]
    theirs = {"weight": "circ", "diagonal": "diag"}
    return [
        Entry(f"{placed.path}.{local}", (_gathered(f"{SCOPE}{scope}", theirs[local]),)) for local in placed.parameters
    ]


def _gathered(scope: str, which: str) -> str:
    """The name under which `_gather` puts the vectors of a circulant layer."""
    return f"{scope}weights_{which}*_f*" if which else f"{scope}weights*"


def _embedding(stream: _Stream) -> list[Entry]:
    placed, scope = stream.embedding[0], stream.scope
    if stream.kind == "Moment_Stats":
        return []
    if stream.kind == "DBoF":
        return _product(placed, scope, "cluster_weights") + norm(stream.embedding[1], "", f"{scope}cluster_bn")
    theirs = {"assignment.weight": "cluster_weights", "centres": "cluster_weights2", "spread": "covar_weights"}
    arrays = [
        Entry(f"{placed.path}.{ours}", (f"{SCOPE}{scope}{name}",), _matrix)
        for ours, name in theirs.items()
        if ours in placed.parameters
    ]
    return arrays + norm(placed, "norm.", f"{scope}cluster_bn")


def _matrix(value: Array) -> Array:
    """Centres, which are (1, features, clusters) there."""
    return value[0] if value.ndim == 3 and len(value) == 1 else value


def _behind(stream: _Stream) -> list[Entry]:
    product_step, norm_step = stream.behind
    inner = EMBEDDINGS[stream.kind][0]
    scope = f"{stream.scope}{inner}/"
    return _product(product_step, scope, f"{inner}_fc_hidden_weights") + norm(
        norm_step, "", f"{scope}{inner}_fc_hidden_bn"
    )


def _otherwise(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, str]:
    """L2 normalisations of the frames, which no weight can make up for, and diagonals of another kind, whose names are the same."""
    what = (
        "there a frame is divided by the norm of rgb and audio together, here by that of its own features; without this layer, and on "
        "features that were divided so, the outputs are the original's"
    )
    found: dict[str, str] = {}
    for stream in _parts(spec)[0]:
        found |= {placed.path: what for placed in stream.before if not placed.parameters}
        placed = stream.behind[0]
        diagonal = arrays.get(_gathered(f"{SCOPE}{stream.scope}{EMBEDDINGS[stream.kind][0]}/", "diag"))
        if diagonal is not None and "diagonal" in placed.parameters:
            there, here = "fixed" if np.all(np.abs(diagonal) == 1) else "learned", getattr(placed.layer, "diagonal", "")
            if there != here:
                found[placed.path] = f"its diagonal is {there} there, {here} here; set its 'diagonal' to {there}"
    return found


def _by_stream(streams: list[_Stream]) -> Turn:
    """Rows of what is behind the concatenation, which has the streams in an order of its own there."""
    widths = {stream.place: stream.behind[-1].output_shape[-1] for stream in streams}
    starts, at = {}, 0
    for place in sorted(widths):
        starts[place] = at
        at += widths[place]

    def turn(value: Array) -> Array:
        if len(value) != at:
            return value  # of another model, which its shape shows
        return np.concatenate([value[starts[place] : starts[place] + width] for place, width in widths.items()])

    return turn


def _classifier(trunk: list[PlacedLayer], turn: Turn) -> list[Entry]:
    first = trunk[0]
    if first.layer.type == "dense":
        weights = Entry(f"{first.path}.weight", (f"{SCOPE}fully_connected/weights",), turn)
        return [weights, Entry(f"{first.path}.bias", (f"{SCOPE}fully_connected/biases",))]
    entries = []
    for local in first.parameters:
        side, which = local.split(".")
        if getattr(first.layer, "circulant", None):
            scope = f"{SCOPE}circulant_{CIRCULANT_SIDES[side]}/"
            names = {
                "weight": (_gathered(scope, "circ"), _gathered(scope, "")),
                "diagonal": (_gathered(scope, "diag"),),
                "bias": (f"{scope}biases",),
            }
            entries.append(Entry(f"{first.path}.{local}", names[which]))
        elif which == "weight":
            entries.append(Entry(f"{first.path}.{local}", (f"{SCOPE}{side}/weights",), turn))
        else:
            entries.append(Entry(f"{first.path}.{local}", (f"{SCOPE}{side}/biases",)))
    for gating in trunk[1:]:
        entries.append(Entry(f"{gating.path}.weight", (f"{SCOPE}gating_video_level/gating_weights",)))
        entries += norm(gating, "norm.", "gating_video_level/gating_bn")
    return entries


def _gather(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The vectors (1, features) of each circulant layer as one array (factors, blocks, features); the rest as it is."""
    groups: dict[str, dict[tuple[int, int], str]] = {}
    for name in arrays:
        found = BLOCK.fullmatch(name)
        if found and (found[2] or "/circulant_" in found[1]):
            of_factor = (int(found[4] or 0), int(found[3] or found[5] or 0))
            groups.setdefault(_gathered(found[1], found[2] or ""), {})[of_factor] = name
    rest = dict(arrays)
    for group, names in groups.items():
        factors, blocks = (1 + max(number[axis] for number in names) for axis in (0, 1))
        vectors = [arrays[names[key]] for key in sorted(names)]
        alike = all(v.ndim == 2 and v.shape == vectors[0].shape and len(v) == 1 for v in vectors)
        if len(names) == factors * blocks and alike:  # or else they are listed as what is left over
            rest[group] = np.concatenate(vectors).reshape(factors, blocks, -1)
            for name in names.values():
                del rest[name]
    return rest


def _settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    """Numbers of clusters, units, classes and mixtures that differ."""
    streams, trunk = _parts(spec)
    found: list[tuple[str, object, object]] = []
    for stream in streams:
        inner = EMBEDDINGS[stream.kind][0]
        fitted = {"cluster_bn/gamma": stream.embedding[0], f"{inner}/{inner}_fc_hidden_bn/gamma": stream.behind[0]}
        for name, placed in fitted.items():
            value = arrays.get(f"{SCOPE}{stream.scope}{name}")
            setting = "units" if hasattr(placed.layer, "units") else "clusters"
            if value is not None and hasattr(placed.layer, setting):
                part, layer = placed.path.split(".")
                place = f"model.streams.{part}.layers.{layer}.{setting}"
                found.append((place, getattr(placed.layer, setting), value.size))
        value = arrays.get(f"{SCOPE}{stream.scope}cluster_weights")
        if value is not None and value.ndim == 2:
            source = spec.streams[stream.embedding[0].path.split(".")[0]].input
            found.append((f"model.inputs.{source}.features", spec.inputs[source].features, len(value)))
    if trunk[0].layer.type == "mixture_of_experts":
        found += settings_of_experts(trunk[0], arrays)
    return {setting: there for setting, here, there in found if there != here}


YOUTUBE8M_CIRCULANT = System(
    "youtube8m-circulant",
    "TensorFlow 1 checkpoints and SavedModels of araujoalexandre/youtube8m-circulant, dense and circulant",
    ("tensorflow",),
    _table,
    is_optimizer,
    lambda spec, match, arrays: of_training(arrays, "training resumes from the weights alone"),
    settings=_settings,
    otherwise=_otherwise,
    notes=untrained_statistics,
    gather=_gather,
)
