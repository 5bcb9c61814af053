"""The MindSpore port of attention clusters (AttentionCluster of mindspore-ai/models).

Files are .ckpt, with or without the optimiser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from acz.exchange.weights.matching import Entry, Match, System, pointwise
from acz.exchange.weights.systems.flash_mnist import classifier_layers, dense, extractor_candidates, extractor_layers
from acz.exchange.weights.systems.shapes import not_a_model_of
from acz.foundation.arrays import Array
from acz.model.spec import Spec

NO_BIAS = "the port's convolutions have no bias, so it is zero"


def _table(spec: Spec) -> list[Entry]:
    parts = extractor_layers(spec)
    if parts:
        (conv1, conv2, features), head = parts
        entries = []
        for placed, name in ((conv1, "conv1"), (conv2, "conv2")):
            entries.append(Entry(f"{placed.path}.weight", (f"extractor.{name}.weight", f"{name}.weight")))
            if "bias" in placed.parameters:
                names = (f"extractor.{name}.bias", f"{name}.bias")
                entries.append(Entry(f"{placed.path}.bias", names, absent=0.0, note=NO_BIAS))
        entries += dense(features, "extractor.fc1", "fc1")
        return entries + (dense(head[0], "fc2") if head else [])
    pair = classifier_layers(spec)
    if pair is None:
        raise not_a_model_of("mindspore-port", "the frame extractor, and one attention cluster with a dense layer")
    attention, logits = pair
    scores = "0.seq.0"  # with a hidden layer it has this name, and 0.seq.1 is the tanh
    entries = []
    if getattr(attention.layer, "hidden", None):
        scores = "0.seq.2"
        entries = [
            Entry(f"{attention.path}.hidden.weight", ("0.seq.0.weight",), pointwise),
            Entry(f"{attention.path}.hidden.bias", ("0.seq.0.bias",)),
        ]
    return [
        *entries,
        Entry(f"{attention.path}.score.weight", (f"{scores}.weight",), pointwise),
        Entry(f"{attention.path}.score.bias", (f"{scores}.bias",)),
        Entry(f"{attention.path}.alpha", ("0.w",)),
        Entry(f"{attention.path}.beta", ("0.b",)),
        *dense(logits, "fc"),
    ]


def _is_optimizer(name: str) -> bool:
    """True for variables of training: `0.w` is a parameter, `moment1.0.w` is not."""
    return bool(re.match(r"moment[12]\.", name)) or name in (
        "global_step",
        "learning_rate",
        "beta1_power",
        "beta2_power",
    )


def _adam(spec: Spec, match: Match, arrays: Mapping[str, Array]) -> dict[str, Array] | str:
    """Adam's moments and step. nn.Adam's moments are those of the paper, as here.

    Returns:
        The state of the optimiser, or the reason why it is left out.
    """
    state: dict[str, Array] = {}
    for path in spec.trained:
        if path not in match.names:
            return f"the file has no moments of {path}"
        name, turn, _ = match.names[path]
        for moment, file_name in (("m", f"moment1.{name}"), ("v", f"moment2.{name}")):
            value = turn(arrays[file_name]) if file_name in arrays else np.empty(0)
            if value.shape != spec.parameters[path].shape:
                return f"'{file_name}' is missing, or not of its parameter's shape"
            state[f"{moment}.{path}"] = np.ascontiguousarray(value, np.float32)
    step = arrays.get("global_step")
    if step is None or step.size != 1 or step.dtype.kind not in "iu":
        return "'global_step' is missing"
    return {**state, "step": np.array(int(step.reshape(())), np.int64)}


def _settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    """The setting `hidden`. Names show it, where shapes cannot be compared yet."""
    pair = classifier_layers(spec)
    if pair is None:
        return {}
    stream, layer = pair[0].path.split(".")
    setting = f"model.streams.{stream}.layers.{layer}.hidden"
    has_hidden = getattr(pair[0].layer, "hidden", None) is not None
    if "0.seq.2.weight" in arrays and not has_hidden and "0.seq.0.bias" in arrays:
        return {setting: arrays["0.seq.0.bias"].size}
    return {setting: None} if has_hidden and "0.seq.2.weight" not in arrays else {}


def _candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    """The extractor, or the attention cluster with or without a tanh layer before the scores."""
    form = "_hidden" if "0.seq.2.weight" in arrays else ""
    return extractor_candidates(arrays) or [(f"flash_mnist/attention_cluster{form}", {})]


MINDSPORE_PORT = System(
    "mindspore-port",
    "MindSpore .ckpt files of mindspore-ai/models, AttentionCluster, fc 1 and 2, and its extractor",
    ("mindspore",),
    _table,
    _is_optimizer,
    _adam,
    settings=_settings,
    candidates=_candidates,
)
