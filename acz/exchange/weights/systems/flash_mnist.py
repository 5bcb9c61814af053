"""The authors' PyTorch code for Flash-MNIST: frame extractor and attention classifier. Files are a saved state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acz.exchange.weights.matching import Entry, System, pointwise, transposed
from acz.exchange.weights.systems.shapes import chain, not_a_model_of, only_stream
from acz.foundation.arrays import Array
from acz.model.spec import PlacedLayer, Spec

EXTRACTOR = (
    "conv2d max_pool2d activation conv2d max_pool2d activation flatten dense log_softmax".split()  # dense 50, relu
)


def extractor_layers(spec: Spec) -> tuple[list[PlacedLayer], list[PlacedLayer]] | None:
    """The extractor's layers with parameters, and the dense layer of a trunk, if there is one. None for another model."""
    stream = only_stream(spec)
    layers = chain(spec, stream, EXTRACTOR, ["relu"]) if stream else None
    head = chain(spec, "trunk", ["dense"], [None]) or []
    if layers is None or len(head) != len(spec.trunk):
        return None
    return [placed for placed in layers if placed.parameters], head


def classifier_layers(spec: Spec) -> tuple[PlacedLayer, PlacedLayer] | None:
    """The attention cluster and the dense layer to the classes. None for another model."""
    stream = only_stream(spec)
    attention = chain(spec, stream, ["attention_cluster"]) if stream else None
    logits = chain(spec, "trunk", ["dense"], [None])
    return (attention[0], logits[0]) if attention and logits else None


def dense(placed: PlacedLayer, *names: str) -> list[Entry]:
    """The entries of a dense layer whose weight is stored as (out, in)."""
    weights = tuple(f"{name}.weight" for name in names)
    biases = tuple(f"{name}.bias" for name in names)
    return [Entry(f"{placed.path}.weight", weights, transposed), Entry(f"{placed.path}.bias", biases)]


def _table(spec: Spec) -> list[Entry]:
    parts = extractor_layers(spec)
    if parts:
        (conv1, conv2, features), head = parts
        entries = []
        for placed, name in ((conv1, "conv1"), (conv2, "conv2")):
            for local in placed.parameters:
                entries.append(Entry(f"{placed.path}.{local}", (f"{name}.{local}", f"extractor.{name}.{local}")))
        entries += dense(features, "fc1", "extractor.fc1")
        return entries + (dense(head[0], "fc2") if head else [])
    pair = classifier_layers(spec)
    if pair and not getattr(pair[0].layer, "hidden", None):
        attention, logits = pair
        return [
            Entry(f"{attention.path}.score.weight", ("att.attentions.weight",), pointwise),
            Entry(f"{attention.path}.score.bias", ("att.attentions.bias",)),
            Entry(f"{attention.path}.alpha", ("att.w",)),
            Entry(f"{attention.path}.beta", ("att.b",)),
            *dense(logits, "fc"),
        ]
    raise not_a_model_of(
        "flash-mnist", "the frame extractor, and one attention cluster with linear scores and a dense layer"
    )


WITHOUT_HEAD = {"model.trunk": {}, "model.output": "none"}
"""The changes for an extractor that was saved without the layer that it is trained with."""


def extractor_candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    """The extractor with or without its last layer, where the arrays are those of an extractor."""
    if not any(name.endswith("conv1.weight") for name in arrays):
        return []
    return [("flash_mnist/extractor", {} if "fc2.weight" in arrays else WITHOUT_HEAD)]


def _candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    return extractor_candidates(arrays) or [("flash_mnist/attention_cluster", {})]


FLASH_MNIST = System(
    "flash-mnist",
    "PyTorch files of Flash-MNIST's authors: zip or legacy container, Python 2 or 3, saved on CPU or GPU",
    ("torch", "safetensors"),
    _table,
    candidates=_candidates,
)
