"""Gated models of antoine77340/Youtube-8M-WILLOW, the winner of 2017 (TensorFlow 1 checkpoints without a scope).

Each modality runs through one pool: NetVLAD, NetRVLAD, NetFV, a soft bag of frames, or one with gates. The trunk has a
hidden layer, context gating, and a mixture of experts whose probabilities may be gated.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from acz.exchange.weights.matching import Entry, System, Turn, as_is
from acz.exchange.weights.systems.compact import COUPLING, INPUTS, MODALITIES
from acz.exchange.weights.systems.compact import NORM as SETTLED_NORM
from acz.exchange.weights.systems.shapes import chain, not_a_model_of
from acz.exchange.weights.systems.starter_code import NORM, is_optimizer, untrained_statistics, why_left_out
from acz.foundation.arrays import Array
from acz.model.spec import PlacedLayer, Spec

SOFT = "dense batch_norm softmax frame_pool"
GATED = "dense batch_norm softmax gated_bag"
POOLS = {"netvlad": "VLAD", "light_vlad": "VLAD", "net_fv": "FV", SOFT: "DBOF", GATED: "DBOF"}
"""The layers of a pool, and the end of its scope."""
BEFORE = ("batch_norm", "l2_normalize batch_norm")
HIDDEN = ("dense", "dense batch_norm activation", "")
SETTLED: Mapping[str, Mapping[str, object]] = {
    "batch_norm": SETTLED_NORM,
    "activation": {"function": "relu6"},
    "netvlad": {"norm": SETTLED_NORM},
    "light_vlad": {"norm": SETTLED_NORM},
    "net_fv": {"norm": SETTLED_NORM},
    "gated_bag": {"norm": SETTLED_NORM},
    "context_gating": {"norm": SETTLED_NORM},
    "frame_pool": {"normalize": True},
}
OPEN = (
    *("clusters", "coupling", "gated", "pooling", "classes", "mixtures"),
    *("remove_diagonal", "low_rank", "input_gating"),
)
STATISTICS = (("sum",), ("sum", "max"))
"""The statistics of a soft bag."""
LAYER = {
    "assignment.weight": "cluster_weights",
    "centres": "cluster_weights2",
    "spread": "covar_weights",
    "gates": "gate_weights",
}
"""Names of a pool's parameters: ours, and the system's behind its scope."""
OWN_NORM = {name: value for name, value in SETTLED_NORM.items() if name != "type"}


def _types(layers: list[PlacedLayer]) -> str:
    return " ".join(placed.layer.type for placed in layers)


def _stream(spec: Spec, name: str) -> list[PlacedLayer] | None:
    """The layers of a modality. None where the system has no such stream."""
    for before, pool in product(BEFORE, POOLS):
        types = f"{before} {pool}".split()
        layers = chain(spec, name, types, [None] * types.count("dense"), SETTLED, OPEN)
        if layers and (pool != SOFT or getattr(layers[-1].layer, "pooling", ()) in STATISTICS):
            return layers
    return None


def _trunk(spec: Spec) -> list[PlacedLayer] | None:
    for hidden, gating, end in product(HIDDEN, ("context_gating", ""), ("context_gating", "")):
        types = f"{hidden} {gating} mixture_of_experts {end}".split()
        layers = chain(spec, "trunk", types, [None] * types.count("dense"), SETTLED, OPEN)
        if layers and not getattr(layers[types.index("mixture_of_experts")].layer, "circulant", None):
            return layers
    return None


def _parts(spec: Spec) -> tuple[list[list[PlacedLayer]], list[PlacedLayer]]:
    """The layers of both modalities, and those of the trunk.

    Raises:
        SpecError: the spec is another model.
    """
    streams, trunk = [_stream(spec, name) for name in spec.streams], _trunk(spec)
    inputs = [stream.input for stream in spec.streams.values()]
    if trunk is None or len(streams) != 2 or None in streams or inputs != list(spec.inputs):
        raise not_a_model_of(
            "willow",
            "streams of rgb and audio, each with batch norm and NetVLAD, light VLAD, NetFV or a soft bag; then a hidden "
            "layer, context gating or none, and a mixture of experts with gating or without (youtube8m/gated/*)",
        )
    return [layers for layers in streams if layers], trunk


def _norm(placed: PlacedLayer, local: str, scope: str, turn: Turn = as_is) -> list[Entry]:
    return [Entry(f"{placed.path}.{local}{own}", (f"{scope}/{theirs}",), turn) for own, theirs in NORM.items()]


def _features_from(start: int, width: int, total: int) -> Turn:
    """Take a modality's part of the batch norm of all features of a frame."""
    return lambda value: value[start : start + width] if value.shape == (total,) else value


def _matrix(value: Array) -> Array:
    """Turn (1, features, clusters) into (features, clusters)."""
    return value[0] if value.ndim == 3 and len(value) == 1 else value


def _gates(value: Array) -> Array:
    """Turn (1, clusters, features) into (features, clusters)."""
    return _matrix(value).T


def _pool(layers: list[PlacedLayer], scope: str) -> list[Entry]:
    """The entries of the layers behind the batch norm of the input."""
    first, *rest = layers
    if first.layer.type != "dense":
        turns = {"gates": _gates}
        arrays = [
            Entry(f"{first.path}.{local}", (f"{scope}/{name}",), turns.get(local, _matrix))
            for local, name in LAYER.items()
            if local in first.parameters
        ]
        return arrays + _norm(first, "norm.", f"{scope}/cluster_bn")
    entries = [Entry(f"{first.path}.weight", (f"{scope}/cluster_weights",)), *_norm(rest[0], "", f"{scope}/cluster_bn")]
    if rest[-1].layer.type == "gated_bag":
        entries.append(Entry(f"{rest[-1].path}.squeeze.weight", (f"{scope}/dim_red",)))
        entries.append(Entry(f"{rest[-1].path}.excite.weight", (f"{scope}/cluster_weights_2",)))
        entries += _norm(rest[-1], "norm.", f"{scope}/cluster_bn_2")
    return entries


def _pool_of(layers: list[PlacedLayer]) -> tuple[PlacedLayer, list[PlacedLayer]]:
    """The batch norm of the input, and the layers behind it."""
    start = 1 + (layers[0].layer.type == "l2_normalize")
    return layers[start - 1], layers[start:]


def _table(spec: Spec) -> list[Entry]:
    streams, trunk = _parts(spec)
    widths = [layers[0].input_shape[-1] for layers in streams]
    entries = []
    for number, (layers, modality) in enumerate(zip(streams, MODALITIES, strict=True)):
        input_norm, pool = _pool_of(layers)
        turn = _features_from(sum(widths[:number]), widths[number], sum(widths))
        entries += _norm(input_norm, "", "input_bn", turn) + _pool(pool, f"{modality}_{POOLS[_types(pool)]}")
    place = next(n for n, placed in enumerate(trunk) if placed.layer.type == "mixture_of_experts")
    for placed in trunk[:place]:
        if placed.layer.type == "dense":
            entries.append(Entry(f"{placed.path}.weight", ("hidden1_weights",)))
            entries += [Entry(f"{placed.path}.bias", ("hidden1_biases",))] if "bias" in placed.parameters else []
        elif placed.layer.type == "batch_norm":
            entries += _norm(placed, "", "hidden1_bn")
        elif placed.layer.type == "context_gating":
            entries.append(Entry(f"{placed.path}.weight", ("gating_weights_2",)))
            entries += _norm(placed, "norm.", "gating_bn")
    return entries + _experts(trunk[place]) + [e for placed in trunk[place + 1 :] for e in _probabilities(placed, "")]


def _probabilities(placed: PlacedLayer, local: str) -> list[Entry]:
    """The entries of the gates of the probabilities. `local` begins their names in a mixture of experts."""
    weight, norm = (f"{local}.weight", f"{local}_norm.") if local else ("weight", "norm.")
    return [Entry(f"{placed.path}.{weight}", ("gating_prob_weights",)), *_norm(placed, norm, "gating_prob_bn")]


def _experts(placed: PlacedLayer) -> list[Entry]:
    low_rank = "gates_input.weight" in placed.parameters
    names = {"experts.weight": "experts/weights", "experts.bias": "experts/biases"}
    names |= (
        {"gates_input.weight": "gates1/weights", "gates.weight": "gates2/weights"}
        if low_rank
        else {"gates.weight": "gates/weights"}
    )
    entries = [Entry(f"{placed.path}.{local}", (name,)) for local, name in names.items()]
    return entries + (_probabilities(placed, "gating") if "gating.weight" in placed.parameters else [])


def _sides(arrays: Mapping[str, Array], name: str) -> tuple[int, int]:
    """The sides of a matrix, or zeros where the file has no such matrix."""
    value = arrays.get(name)
    return (value.shape[0], value.shape[1]) if value is not None and value.ndim == 2 else (0, 0)


def _sizes_of_experts(arrays: Mapping[str, Array]) -> dict[str, int]:
    """The classes and mixtures of the experts. Empty where the file has no experts."""
    experts = _sides(arrays, "experts/weights")[1]
    gates = max(_sides(arrays, name)[1] for name in ("gates/weights", "gates2/weights"))
    classes = max(gates - experts, 0)  # each class has one more gate than experts
    return {"classes": classes, "mixtures": max(experts // classes, 1)} if classes else {}


def _settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    """The settings that differ: features, clusters, units, classes, mixtures, and widths of gates."""
    streams, trunk = _parts(spec)
    settings: list[tuple[PlacedLayer, str, int]] = []
    changes: dict[str, object] = {}
    for layers, modality in zip(streams, MODALITIES, strict=True):
        _, pool = _pool_of(layers)
        scope = f"{modality}_{POOLS[_types(pool)]}"
        features, clusters = _sides(arrays, f"{scope}/cluster_weights")
        name = spec.streams[pool[0].path.split(".")[0]].input
        if features and spec.inputs[name].features != features:
            changes[f"model.inputs.{name}.features"] = features
        settings.append((pool[0], "units" if pool[0].layer.type == "dense" else "clusters", clusters))
        if pool[-1].layer.type == "gated_bag":
            settings.append((pool[-1], "hidden", _sides(arrays, f"{scope}/dim_red")[1]))
    for placed in trunk:
        if placed.layer.type == "dense":
            settings.append((placed, "units", _sides(arrays, "hidden1_weights")[1]))
        elif placed.layer.type == "mixture_of_experts":
            settings += [(placed, name, size) for name, size in _sizes_of_experts(arrays).items()]
    for placed, setting, size in settings:
        part, layer = placed.path.split(".")
        if size and getattr(placed.layer, setting) != size:
            place = "model.trunk" if part == "trunk" else f"model.streams.{part}.layers"
            changes[f"{place}.{layer}.{setting}"] = size
    return changes


def _candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    """The model of the zoo that the names tell, with what they tell beside sizes.

    A file does not tell the factor of coupled Fisher vectors, and whether diagonals of gates count.
    """
    if "input_bn/gamma" not in arrays or "experts/weights" not in arrays:
        return []
    changes: dict[str, Any] = {}
    for name in INPUTS:
        # the system divides a frame by the norm over both modalities, which is done before the model
        changes[f"model.inputs.{name}.dtype"] = "float32"
        changes |= {f"model.streams.{name}.layers.{layer}": None for layer in ("dequantize", "unit")}
    pool, model = _pool_changes(arrays)
    return [(f"youtube8m/gated/{model}", {**changes, **pool, **_trunk_changes(arrays, model)})] if model else []


def _pool_changes(arrays: Mapping[str, Array]) -> tuple[dict[str, Any], str]:
    """The changes of the pools, and the name of their model. An empty name: the system has no such pool."""
    layers = [f"model.streams.{name}.layers" for name in INPUTS]
    if "video_VLAD/cluster_weights2" in arrays:
        return {}, "netvlad"
    if "video_VLAD/cluster_weights" in arrays:
        gated = "video_VLAD/gate_weights" in arrays
        return ({f"{place}.netrvlad.gated": True for place in layers} if gated else {}), "netrvlad"
    if "video_FV/cluster_weights" in arrays:
        coupled = "video_FV/cluster_weights2" not in arrays
        return ({f"{place}.netfv.coupling": COUPLING for place in layers} if coupled else {}), "netfv"
    if "video_DBOF/dim_red" in arrays:
        return {}, "gated_dbof"
    if "video_DBOF/cluster_weights" not in arrays:
        return {}, ""
    clusters = sum(_sides(arrays, f"{modality}_DBOF/cluster_weights")[1] for modality in MODALITIES)
    behind = _sides(arrays, "hidden1_weights" if "hidden1_weights" in arrays else "experts/weights")[0]
    largest = behind == 2 * clusters
    return ({f"{place}.pool.pooling": ["sum", "max"] for place in layers} if largest else {}), "soft_dbow"


def _trunk_changes(arrays: Mapping[str, Array], model: str) -> dict[str, Any]:
    """The change of the trunk, where the file has other layers or forms of them than the zoo's model."""
    trunk: dict[str, Any] = {}
    if "hidden1_weights" in arrays:
        trunk["hidden"] = {"type": "dense", "units": _sides(arrays, "hidden1_weights")[1]}
    if "hidden1_weights" in arrays and "hidden1_bn/gamma" in arrays:
        trunk["hidden"]["bias"] = False
        trunk |= {"hidden_norm": SETTLED_NORM, "hidden_relu6": {"type": "activation", "function": "relu6"}}
    if "gating_weights_2" in arrays:
        trunk["gating"] = {"type": "context_gating", "norm": OWN_NORM}
    experts: dict[str, Any] = {"type": "mixture_of_experts", **_sizes_of_experts(arrays)}
    trunk["experts"], plain = experts, len(experts)
    if "gates1/weights" in arrays:
        experts["low_rank"] = _sides(arrays, "gates1/weights")[1]
    height, width = _sides(arrays, "gating_prob_weights")
    if height != width:  # gates by the input, (features, classes)
        experts["input_gating"] = {"norm": OWN_NORM}
    elif height:
        trunk["class_gating"] = {"type": "context_gating", "norm": OWN_NORM}
    zoo = ["hidden", *(["gating"] if model in ("netvlad", "netrvlad", "netfv") else []), "experts", "class_gating"]
    return {} if list(trunk) == zoo and len(experts) == plain else {"model.trunk": trunk}


def _otherwise(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, str]:
    """L2 normalisations of frames, whose formula no weight can make up for."""
    return {
        placed.path: "the system divides a frame by the norm of rgb and audio together; leave this layer out, and give "
        "features that were divided so"
        for placed in spec.layout
        if placed.layer.type == "l2_normalize"
    }


WILLOW = System(
    "willow",
    "TensorFlow 1 checkpoints of antoine77340/Youtube-8M-WILLOW: gated NetVLAD, NetRVLAD, NetFV, soft bags",
    ("tensorflow",),
    _table,
    lambda name: is_optimizer(name) or name.startswith("model/beta"),
    lambda spec, match, arrays: why_left_out(arrays, "training resumes from the weights alone"),
    settings=_settings,
    candidates=_candidates,
    otherwise=_otherwise,
    notes=untrained_statistics,
)
