"""Names of youtube8m-circulant, and the models of the zoo that a file of it may be of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from acz.exchange.weights.systems.starter_code import SCOPE
from acz.foundation.arrays import Array

MODALITIES = ("video", "audio")
"""The modalities of the inputs, in their order."""
INPUTS = ("rgb", "audio")
"""The zoo's names of them."""
EMBEDDINGS = {
    "DBoF": ("dbof", ("dense batch_norm activation frame_pool", "circulant_dense batch_norm activation frame_pool")),
    "NetVLAD": ("netvlad", ("netvlad",)),
    "Fisher_vector": ("fv", ("net_fv",)),
    "Moment_Stats": ("moments", ("frame_pool",)),
}
"""The embeddings by name, in the order of the concatenation: the scope of the layer behind, and the possible layers."""
NORM = {"type": "batch_norm", "epsilon": 1e-3, "decay": 0.999, "variance": "unbiased"}

MODELS = {"DBoF": "dbof", "NetVLAD": "netvlad", "Fisher_vector": "netfv", "Moment_Stats": "moments"}
"""The zoo's names of models with one embedding, which are the ends of the names of an ensemble's streams."""
COUPLING = 0.01
"""The system's usual factor of coupled Fisher vectors, which no file has."""
MOST_MIXTURES = 16
"""The most mixtures of circulant experts that are tried."""


def gathered_name(scope: str, kind: str) -> str:
    """The name of the array that the vectors of a circulant layer make together."""
    return f"{scope}weights_{kind}*_f*" if kind else f"{scope}weights*"


def compact_candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    """Find the models of the zoo that a file may be of.

    The names tell the embeddings, the modalities, the circulant layers and the classifier. A file does not tell the
    pooling of DBoF, the factor of coupled Fisher vectors, the bags, and the number of frames.

    Args:
        arrays: the parameters in the file, circulant layers gathered.

    Returns:
        Names in the zoo with changes by dotted path. Several, where circulant experts leave the mixtures open.
    """
    kinds = [kind for kind in EMBEDDINGS if _has(arrays, _scope("video", kind))]
    if not kinds:
        return []
    model = MODELS[kinds[0]] if len(kinds) == 1 else "ensemble"
    changes: dict[str, Any] = {}
    for modality, name in zip(MODALITIES, INPUTS, strict=True):
        present = any(_has(arrays, _scope(modality, kind)) for kind in kinds)
        for kind in EMBEDDINGS if model == "ensemble" else kinds:
            stream = f"{name}_{MODELS[kind]}" if model == "ensemble" else name
            if present and kind in kinds:
                changes |= _stream_changes(arrays, modality, kind, f"model.streams.{stream}", model == "ensemble")
            elif kind != "Moment_Stats" or model != "ensemble":
                changes[f"model.streams.{stream}"] = None
        if present:
            # the system divides a frame by the norm over both modalities, which is done before the model
            changes[f"model.inputs.{name}.dtype"] = "float32"
            width = next(filter(None, (_width(arrays, _scope(modality, kind), kind) for kind in kinds)), None)
            changes |= {f"model.inputs.{name}.features": width} if width else {}
        else:
            changes[f"model.inputs.{name}"] = None
    return [(f"youtube8m/compact/{model}", {**changes, **trunk}) for trunk in _trunks(arrays)]


def _scope(modality: str, kind: str) -> str:
    return f"{SCOPE}{modality}/{kind}_{modality}/"


def _has(arrays: Mapping[str, Array], scope: str) -> bool:
    return any(name.startswith(scope) for name in arrays)


def _stream_changes(
    arrays: Mapping[str, Array], modality: str, kind: str, stream: str, of_ensemble: bool
) -> dict[str, Any]:
    """The changes of one stream."""
    scope, inner = _scope(modality, kind), EMBEDDINGS[kind][0]
    before = NORM if _has(arrays, f"{SCOPE}input_bn/") else None
    hidden = _circulant(arrays, f"{scope}{inner}/", f"{scope}{inner}/{inner}_fc_hidden_bn/gamma")
    if kind == "Moment_Stats" and of_ensemble:  # the zoo's ensemble has no stream of moments
        dense = {"type": "dense", "units": _size(arrays, f"{scope}{inner}/{inner}_fc_hidden_bn/gamma"), "bias": False}
        layers = {
            **({"unit": before} if before else {}),
            "pool": {"type": "frame_pool", "pooling": ["mean", "variance"]},
            "hidden": hidden or dense,
            "hidden_norm": NORM,
            "hidden_relu6": {"type": "activation", "function": "relu6"},
        }
        return {stream: {"input": INPUTS[MODALITIES.index(modality)], "layers": layers}}
    changes: dict[str, Any] = {
        f"{stream}.bags": 1,
        f"{stream}.layers.dequantize": None,
        f"{stream}.layers.unit": before,
    }
    if hidden:
        changes[f"{stream}.layers.hidden"] = hidden
    expansion = _circulant(arrays, scope, f"{scope}cluster_bn/gamma") if kind == "DBoF" else None
    if expansion:
        changes[f"{stream}.layers.expansion"] = expansion
    if kind == "Fisher_vector" and f"{scope}cluster_weights2" not in arrays:
        changes[f"{stream}.layers.net_fv.coupling"] = COUPLING
    return changes


def _size(arrays: Mapping[str, Array], name: str) -> int:
    return arrays[name].size if name in arrays else 1


def _circulant(arrays: Mapping[str, Array], scope: str, norm: str) -> dict[str, Any] | None:
    """The circulant layer of a scope. `norm` names the scale of the batch norm behind it. None: the layer is dense."""
    weight = arrays.get(gathered_name(scope, "circ"))
    if weight is None:
        return None
    return {
        "type": "circulant_dense",
        "units": _size(arrays, norm),
        "bias": False,
        "factors": len(weight),
        "diagonal": _diagonal(arrays, scope),
    }


def _diagonal(arrays: Mapping[str, Array], scope: str) -> str:
    """The kind of a circulant layer's diagonal. A fixed one has signs alone."""
    diagonal = arrays.get(gathered_name(scope, "diag"))
    if diagonal is None:
        return "none"
    return "fixed" if np.all(np.abs(diagonal) == 1) else "learned"


def _width(arrays: Mapping[str, Array], scope: str, kind: str) -> int | None:
    """The number of features of a modality, as an embedding has it. None: its arrays do not tell."""
    inner = EMBEDDINGS[kind][0]
    if kind == "Moment_Stats":
        dense, circulant, share = f"{scope}{inner}/{inner}_fc_hidden_weights", f"{scope}{inner}/", 2  # mean, variance
    else:
        dense, circulant, share = f"{scope}cluster_weights", scope, 1
    if dense in arrays:
        return len(arrays[dense]) // share if arrays[dense].ndim else None
    weight = arrays.get(gathered_name(circulant, "circ"))
    return None if weight is None else weight.shape[-1] // share


def _trunks(arrays: Mapping[str, Array]) -> Iterator[dict[str, Any]]:
    """The changes of the trunk, in every form that fits the classifier."""
    biases = arrays.get(f"{SCOPE}fully_connected/biases")
    if biases is not None:
        trunk = {"logits": {"type": "dense", "units": biases.size}}
        # the recipe's penalty is for experts
        yield {"model.trunk": trunk, "model.output": "sigmoid", "train.optimizer.l2_penalty": {}}
        return
    gating = {} if _has(arrays, f"{SCOPE}gating_video_level/") else {"model.trunk.class_gating": None}
    scopes = f"{SCOPE}circulant_gates/", f"{SCOPE}circulant_expert/"
    for kind in ("circ", ""):
        gates, experts = (arrays.get(gathered_name(scope, kind)) for scope in scopes)
        if gates is None or experts is None:
            continue
        circulant: dict[str, Any] = {"factors": len(gates), "diagonal": _diagonal(arrays, scopes[0])}
        count = _size(arrays, f"{scopes[1]}biases")
        for mixtures in range(1, MOST_MIXTURES + 1):
            gate_count = count // mixtures * (mixtures + 1)  # each class has one more gate than experts
            if count % mixtures == 0 and math.ceil(gate_count / gates.shape[-1]) == gates.shape[1]:
                sizes = {"classes": count // mixtures, "mixtures": mixtures}
                experts_layer = {"type": "mixture_of_experts", **sizes, "circulant": circulant}
                yield {**gating, "model.trunk.experts": experts_layer}
        return
    yield gating
