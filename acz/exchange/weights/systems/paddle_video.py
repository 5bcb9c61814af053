"""Attention clusters of PaddleCV/video (PaddlePaddle/models) for PaddlePaddle 1.x.

Files are .pdparams (pickled by fluid.save, or a stream without names), .pdckpt, folders with a file for each variable,
and inference models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from acz.exchange.weights.matching import Entry, Match, System, pointwise
from acz.exchange.weights.systems.shapes import WITHOUT_AUDIO, chain, not_a_model_of
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.spec import Spec

ADAM = ("_beta1_pow_acc_0", "_beta2_pow_acc_0", "_moment1_0", "_moment2_0")
"""Endings of Adam's four variables for each parameter. `learning_rate_0` occurs once."""


def _table(spec: Spec) -> list[Entry]:
    attentions = [chain(spec, name, ["attention_cluster"]) for name in spec.streams]
    trunk = chain(spec, "trunk", ["dense"] * 3, ["tanh", "tanh", None])
    if not all(layers and "hidden.weight" not in layers[0].parameters for layers in attentions) or trunk is None:
        raise not_a_model_of(
            "paddle-video", "attention clusters with linear scores, two dense tanh layers and a dense layer"
        )
    entries = []
    for number, layers in enumerate(attentions):
        path, name = (layers or [])[0].path, f"satt{number}"
        entries += [
            Entry(f"{path}.score.weight", (f"{name}.conv.weight",), pointwise),
            Entry(f"{path}.score.bias", (f"{name}.conv.bias",)),
            Entry(f"{path}.alpha", (f"{name}.shift_w",)),
            Entry(f"{path}.beta", (f"{name}.shift_b",)),
        ]
    kept = _kept(spec)
    for placed, name in zip(trunk, ("fc1", "fc2", "logistic"), strict=True):
        factor = kept if placed is trunk[0] else 1.0
        note = (
            f"PaddlePaddle's dropout multiplies by {factor:g} in evaluation and does not rescale in training, "
            f"so {placed.path}.weight was multiplied by {factor:g}"
        )
        entries.append(Entry(f"{placed.path}.weight", (f"{name}.weights",), factor=factor, note=note))
        entries.append(Entry(f"{placed.path}.bias", (f"{name}.bias",)))
    return entries


def _kept(spec: Spec) -> float:
    """The share of values that dropout before the trunk's first dense layer keeps."""
    share = 1.0
    for layer in spec.trunk.values():
        if layer.type == "dense":
            break
        share *= 1.0 - getattr(layer, "rate", 0.0)
    return share


def _is_optimizer(name: str) -> bool:
    return name.endswith(ADAM) or re.fullmatch(r"learning_rate_\d+", name) is not None


def _adam(spec: Spec, match: Match, arrays: Mapping[str, Array]) -> str:
    return "PaddlePaddle records no step, and the factor of dropout changed the scale of weights"


def _name_arrays(arrays: Sequence[Array], entries: list[Entry]) -> dict[str, Array]:
    """Name the arrays of a stream, which are in the alphabetical order of their names.

    A stream holds the parameters, alone or with Adam's variables.

    Raises:
        DataError: The stream holds another number of arrays.
    """
    parameters = [entry.names[0] for entry in entries]
    with_adam = [*parameters, *(name + ending for name in parameters for ending in ADAM), "learning_rate_0"]
    for names in (parameters, with_adam):
        if len(names) == len(arrays):
            return dict(zip(sorted(names), arrays, strict=True))
    shapes = ", ".join(str(array.shape) for array in arrays[:16])
    raise DataError(
        f"holds {len(arrays)} arrays without names, but the model has {len(parameters)} parameters "
        f"({len(with_adam)} arrays with Adam's); shapes in the file: {shapes}{' ...' if len(arrays) > 16 else ''}"
    )


def _candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    """The attention clusters of rgb and audio, or of rgb alone. Both where the file has no names."""
    forms: list[dict[str, Any]] = [{}, WITHOUT_AUDIO]
    if arrays:
        forms = [{} if "satt1.shift_w" in arrays else WITHOUT_AUDIO]
    return [("youtube8m/attention_cluster", form) for form in forms]


PADDLE_VIDEO = System(
    "paddle-video",
    "PaddlePaddle 1.x files of PaddleCV/video: .pdparams, .pdckpt, folders of parameters, inference models",
    ("paddle",),
    _table,
    _is_optimizer,
    _adam,
    name_arrays=_name_arrays,
    candidates=_candidates,
)
