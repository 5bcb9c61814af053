"""Attention clusters of PaddlePaddle/models, PaddleCV/video, on PaddlePaddle 1.x.

.pdparams (pickled by fluid.save, or a stream without names), .pdckpt, folders of one variable a file, inference models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from acz.exchange.weights.matching import Entry, Match, System, pointwise
from acz.exchange.weights.systems.shapes import chain, is_none_of
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.spec import Spec

ADAM = ("_beta1_pow_acc_0", "_beta2_pow_acc_0", "_moment1_0", "_moment2_0")
"""Adam's four variables of each parameter; `learning_rate_0` comes once."""


def _table(spec: Spec) -> list[Entry]:
    attentions = [chain(spec, name, ["attention_cluster"]) for name in spec.streams]
    trunk = chain(spec, "trunk", ["dense"] * 3, ["tanh", "tanh", None])
    if not all(steps and "hidden.weight" not in steps[0].parameters for steps in attentions) or trunk is None:
        raise is_none_of(
            "paddle-video", "attention clusters with linear scores, two dense tanh layers and a dense layer"
        )
    entries = []
    for number, steps in enumerate(attentions):
        path, theirs = (steps or [])[0].path, f"satt{number}"
        entries += [
            Entry(f"{path}.score.weight", (f"{theirs}.conv.weight",), pointwise),
            Entry(f"{path}.score.bias", (f"{theirs}.conv.bias",)),
            Entry(f"{path}.alpha", (f"{theirs}.shift_w",)),
            Entry(f"{path}.beta", (f"{theirs}.shift_b",)),
        ]
    keep = _kept(spec)
    for placed, name in zip(trunk, ("fc1", "fc2", "logistic"), strict=True):
        factor = keep if placed is trunk[0] else 1.0
        note = (
            f"PaddlePaddle's dropout multiplies by {factor:g} in evaluation and does not rescale in training: "
            f"{placed.path}.weight is multiplied by {factor:g} once and for all"
        )
        entries.append(Entry(f"{placed.path}.weight", (f"{name}.weights",), factor=factor, note=note))
        entries.append(Entry(f"{placed.path}.bias", (f"{name}.bias",)))
    return entries


def _kept(spec: Spec) -> float:
    """The share of the attention's output that the trunk's dropout, before its first dense layer, keeps."""
    kept = 1.0
    for layer in spec.trunk.values():
        if layer.type == "dense":
            break
        kept *= 1.0 - getattr(layer, "rate", 0.0)
    return kept


def _is_optimizer(name: str) -> bool:
    return name.endswith(ADAM) or re.fullmatch(r"learning_rate_\d+", name) is not None


def _adam(spec: Spec, match: Match, arrays: Mapping[str, Array]) -> str:
    return "PaddlePaddle records no step, and the weights that dropout's factor went into are of another scale"


def _name_arrays(arrays: Sequence[Array], entries: list[Entry]) -> dict[str, Array]:
    """Streams hold the variables in the alphabetical order of their names: parameters alone, or with Adam's variables."""
    parameters = [entry.names[0] for entry in entries]
    with_adam = [*parameters, *(name + end for name in parameters for end in ADAM), "learning_rate_0"]
    for names in (parameters, with_adam):
        if len(names) == len(arrays):
            return dict(zip(sorted(names), arrays, strict=True))
    shapes = ", ".join(str(array.shape) for array in arrays[:16])
    raise DataError(
        f"holds {len(arrays)} arrays without names, and the model has {len(parameters)} parameters "
        f"({len(with_adam)} arrays with Adam's); theirs are {shapes}{' ...' if len(arrays) > 16 else ''}"
    )


PADDLE_VIDEO = System(
    "paddle-video",
    "PaddlePaddle 1.x files of PaddleCV/video: .pdparams, .pdckpt, folders of parameters, inference models",
    ("paddle",),
    _table,
    _is_optimizer,
    _adam,
    name_arrays=_name_arrays,
)
