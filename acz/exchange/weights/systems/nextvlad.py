"""NeXtVLAD of linrongc/youtube-8m (TensorFlow 1 checkpoints) and of PaddleCV/video (PaddlePaddle 1.x files).

Both are `youtube8m/nextvlad`; PaddlePaddle's is its form `paddle`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from acz.exchange.weights.matching import Entry, Match, System, as_is
from acz.exchange.weights.systems.paddle_video import ADAM
from acz.exchange.weights.systems.shapes import not_a_model_of
from acz.exchange.weights.systems.starter_code import NORM, SCOPE, is_optimizer, untrained_statistics, why_left_out
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError, SpecError
from acz.model.layers.dense import ReverseWhitening, scale_of_eigenvalues
from acz.model.spec import PlacedLayer, Spec

MODEL = "youtube8m/nextvlad"
STREAMS = (
    ("rgb", ("rescale", "reverse_whitening", "nextvlad", "batch_norm")),
    ("audio", ("rescale", "nextvlad", "batch_norm")),
)
"""The zoo's streams of the two modalities, in the order in which the systems concatenate them, and their layers."""
TRUNK = ("dense", "batch_norm", "squeeze_excitation", "dense")
LAYER = {
    "expansion.weight": ("fully_connected/weights", "fc_expansion_w"),
    "expansion.bias": ("fully_connected/biases", "fc_expansion_b"),
    "attention.weight": ("fully_connected_1/weights", "fc_group_attention_w"),
    "attention.bias": ("fully_connected_1/biases", "fc_group_attention_b"),
    "assignment.weight": ("cluster_weights", "cluster_weights"),
    "centres": ("cluster_weights2", "cluster_weights2"),
}
"""Names of a layer's parameters: ours, TensorFlow's behind the scope of a modality, PaddlePaddle's behind a prefix."""
PADDLE_NORM = {"weight": "w_0", "bias": "b_0", "running_mean": "w_1", "running_variance": "w_2"}
SCHEDULE = ("@LR_DECAY_COUNTER@", "learning_rate")
"""PaddlePaddle's variables of a schedule of the learning rate."""
FIXED = re.compile(r"eigen_param|batch_norm_\d\.w_[12]")
"""PaddlePaddle's parameters that have no variables of Adam."""


def _parts(spec: Spec, system: str) -> tuple[list[list[PlacedLayer]], list[PlacedLayer]]:
    """The layers of each stream, and those of the trunk without dropout.

    Raises:
        SpecError: the spec is not NeXtVLAD, with rgb and audio in this order.
    """

    def layers(part: str) -> list[PlacedLayer]:
        inside = [placed for placed in spec.layout if placed.path.startswith(f"{part}.")]
        return [placed for placed in inside if placed.layer.type != "dropout"]

    streams = [layers(name) for name in spec.streams]
    trunk = layers("trunk")
    kinds = [tuple(placed.layer.type for placed in inside) for inside in streams]
    if kinds != [types for _, types in STREAMS] or tuple(placed.layer.type for placed in trunk) != TRUNK:
        raise not_a_model_of(system, "NeXtVLAD of rgb and audio (youtube8m/nextvlad)")
    return streams, trunk


def _scale(placed: PlacedLayer) -> Entry:
    """The entry of the scales of whitening, which a file of eigenvalues tells.

    Raises:
        SpecError: the spec names no such file. The message says how to name it.
    """
    layer = placed.layer
    file = layer.eigenvalues if isinstance(layer, ReverseWhitening) else None
    if not file:
        stream, name = placed.path.split(".")
        raise SpecError(
            "linrongc's checkpoints hold no eigenvalues; name its file yt8m_pca/eigenvals.npy: "
            f"--set model.streams.{stream}.layers.{name}.eigenvalues=FILE"
        )
    scale = scale_of_eigenvalues(file, placed.input_shape[-1]).astype(np.float32)
    note = f"{placed.path}.scale comes from the file of eigenvalues; it is a part of the checkpoint from here on"
    return Entry(f"{placed.path}.scale", ("eigenvals",), absent=scale, note=note)


def _first(value: Array) -> Array:
    """Centres (1, E / groups, clusters) without their first axis."""
    return value[0] if value.ndim == 3 else value


def _transposed(value: Array) -> Array:
    return value.T


def _tensorflow_norm(placed: PlacedLayer, local: str, scope: str) -> list[Entry]:
    return [Entry(f"{placed.path}.{local}{own}", (f"{SCOPE}{scope}/{theirs}",)) for own, theirs in NORM.items()]


def _table(spec: Spec) -> list[Entry]:
    ((_, unwhiten, *rgb), (_, *audio)), (hidden, hidden_norm, gating, logits) = _parts(spec, "linrongc")
    entries = [_scale(unwhiten)]
    for (layer, norm), scope in ((rgb, "video_VLAD"), (audio, "audio_VLAD")):
        for local, (name, _) in LAYER.items():
            turn = _first if local == "centres" else as_is
            entries.append(Entry(f"{layer.path}.{local}", (f"{SCOPE}{scope}/{name}",), turn))
        entries += _tensorflow_norm(layer, "norm.", f"{scope}/cluster_bn")
        entries += _tensorflow_norm(norm, "", f"{scope}/vlad_bn")
    entries += _tensorflow_norm(hidden_norm, "", "hidden1_bn") + _tensorflow_norm(gating, "norm.", "gating_bn")
    names = {
        f"{hidden.path}.weight": "hidden1_weights",
        f"{gating.path}.squeeze.weight": "gating_weights_1",
        f"{gating.path}.excite.weight": "gating_weights_2",
        f"{logits.path}.weight": "fully_connected/weights",
        f"{logits.path}.bias": "fully_connected/biases",
    }
    return entries + [Entry(path, (f"{SCOPE}{name}",)) for path, name in names.items()]


def _paddle_norm(placed: PlacedLayer, local: str, number: int) -> list[Entry]:
    return [
        Entry(f"{placed.path}.{local}{own}", (f"batch_norm_{number}.{theirs}",)) for own, theirs in PADDLE_NORM.items()
    ]


def _paddle_table(spec: Spec) -> list[Entry]:
    ((_, unwhiten, *rgb), (_, *audio)), (hidden, hidden_norm, gating, logits) = _parts(spec, "paddle-nextvlad")
    entries = [Entry(f"{unwhiten.path}.scale", ("eigen_param",))]
    for number, ((layer, norm), prefix) in enumerate(((rgb, "video_"), (audio, "audio_"))):
        for local, (_, name) in LAYER.items():
            turn = _transposed if local == "centres" else as_is
            entries.append(Entry(f"{layer.path}.{local}", (f"{prefix}{name}",), turn))
        entries += _paddle_norm(layer, "norm.", 2 * number) + _paddle_norm(norm, "", 2 * number + 1)
    entries += _paddle_norm(hidden_norm, "", 4) + _paddle_norm(gating, "norm.", 5)
    kept = 1.0
    for name, layer_of_trunk in spec.trunk.items():
        if f"trunk.{name}" == hidden.path:
            break
        kept *= 1.0 - getattr(layer_of_trunk, "rate", 0.0)
    note = (
        f"PaddlePaddle's dropout multiplies by {kept:g} in evaluation and does not rescale in training, "
        f"so {hidden.path}.weight was multiplied by {kept:g}"
    )
    return [
        *entries,
        Entry(f"{hidden.path}.weight", ("hidden1_fc_weights",), factor=kept, note=note),
        Entry(f"{gating.path}.squeeze.weight", ("gating_fc1_weights",)),
        Entry(f"{gating.path}.excite.weight", ("gating_fc2_weights",)),
        Entry(f"{logits.path}.weight", ("logits_clf_weights",)),
        Entry(f"{logits.path}.bias", ("logits_clf_bias",)),
    ]


def _sizes(spec: Spec, system: str, side: Callable[[str, int], int], names: Sequence[str]) -> dict[str, object]:
    """The settings that differ, from sides of a file's arrays.

    Args:
        spec: the model.
        system: the name of the system, for errors.
        side: gives the side of the array of a name along an axis, or 0 where the file has no such array.
        names: the system's beginnings of the names of both modalities' arrays, then its names of other arrays.
    """
    streams, (hidden, _, gating, logits) = _parts(spec, system)
    video, audio, expansion, attention, assignment, first, narrow, last = names
    settings: dict[str, object] = {}
    for layers, prefix in zip(streams, (video, audio), strict=True):
        stream, layer = layers[-2].path.split(".")
        features, wide = side(f"{prefix}{expansion}", 0), side(f"{prefix}{expansion}", 1)
        groups, shares = side(f"{prefix}{attention}", 1), side(f"{prefix}{assignment}", 1)
        if not all((features, wide, groups, shares)):
            continue
        place = f"model.streams.{stream}.layers.{layer}"
        settings |= {
            f"model.inputs.{spec.streams[stream].input}.features": features,
            f"{place}.groups": groups,
            f"{place}.clusters": shares // groups,
            f"{place}.expansion": wide // features,
        }
    width, classes = side(first, 1), side(last, 1)
    settings |= {f"model.{hidden.path}.units": width or 1, f"model.{logits.path}.units": classes or 1}
    reduction = getattr(gating.layer, "reduction", 1)
    if (squeezed := side(narrow, 1)) and width // reduction != squeezed:
        settings[f"model.{gating.path}.reduction"] = width // squeezed
    return settings


def _side(arrays: Mapping[str, Array]) -> Callable[[str, int], int]:
    def side(name: str, axis: int) -> int:
        value = arrays.get(name)
        return value.shape[axis] if value is not None and value.ndim == 2 else 0

    return side


def _settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    layer = ("fully_connected/weights", "fully_connected_1/weights", "cluster_weights")
    rest = (f"{SCOPE}hidden1_weights", f"{SCOPE}gating_weights_1", f"{SCOPE}fully_connected/weights")
    scopes = (f"{SCOPE}video_VLAD/", f"{SCOPE}audio_VLAD/")
    return _sizes(spec, "linrongc", _side(arrays), (*scopes, *layer, *rest))


def _paddle_settings(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, object]:
    layer = ("fc_expansion_w", "fc_group_attention_w", "cluster_weights")
    rest = ("hidden1_fc_weights", "gating_fc1_weights", "logits_clf_weights")
    return _sizes(spec, "paddle-nextvlad", _side(arrays), ("video_", "audio_", *layer, *rest))


def _is_paddle_optimizer(name: str) -> bool:
    return name in SCHEDULE or name.endswith(ADAM)


def _name_arrays(arrays: Sequence[Array], entries: list[Entry]) -> dict[str, Array]:
    """Name the arrays of a stream, which are in the alphabetical order of their names.

    Raises:
        DataError: the stream holds another number of arrays.
    """
    parameters = [entry.names[0] for entry in entries]
    adam = [name + ending for name in parameters if not FIXED.fullmatch(name) for ending in ADAM]
    for names in (parameters, [*parameters, *adam, *SCHEDULE]):
        if len(names) == len(arrays):
            return dict(zip(sorted(names), arrays, strict=True))
    raise DataError(
        f"holds {len(arrays)} arrays without names, but NeXtVLAD has {len(parameters)} "
        f"({len(parameters) + len(adam) + len(SCHEDULE)} with Adam's)"
    )


def _paddle_adam(spec: Spec, match: Match, arrays: Mapping[str, Array]) -> str:
    return "the factor of dropout changed the scale of weights"


def _tensorflow_candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    return [(MODEL, {})] if f"{SCOPE}video_VLAD/fully_connected/weights" in arrays else []


def _paddle_candidates(arrays: Mapping[str, Array]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{MODEL}:paddle", {})] if not arrays or "eigen_param" in arrays else []


def _otherwise(spec: Spec, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Batch norms of PaddlePaddle have another epsilon than those of TensorFlow."""
    try:
        streams, trunk = _parts(spec, "paddle-nextvlad")
    except SpecError:
        return {}
    settings = [
        (placed.path, getattr(placed.layer, "norm", placed.layer)) for layers in (*streams, trunk) for placed in layers
    ]
    return {
        path: "PaddlePaddle's batch norm has epsilon 1e-5; take youtube8m/nextvlad:paddle"
        for path, norm in settings
        if getattr(norm, "epsilon", 1e-5) != 1e-5
    }


LINRONGC = System(
    "linrongc",
    "TensorFlow 1 checkpoints of NeXtVLAD (linrongc/youtube-8m); the eigenvalues come from a file of their own",
    ("tensorflow",),
    _table,
    is_optimizer,
    lambda spec, match, arrays: why_left_out(arrays, "their meaning here is not settled"),
    settings=_settings,
    candidates=_tensorflow_candidates,
    notes=untrained_statistics,
)
PADDLE_NEXTVLAD = System(
    "paddle-nextvlad",
    "PaddlePaddle 1.x files of PaddleCV/video's NeXtVLAD: .pdparams, .pdckpt, folders of parameters, inference models",
    ("paddle",),
    _paddle_table,
    _is_paddle_optimizer,
    _paddle_adam,
    name_arrays=_name_arrays,
    settings=_paddle_settings,
    candidates=_paddle_candidates,
    otherwise=_otherwise,
)
