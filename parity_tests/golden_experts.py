"""Golden fixtures of YouTube-8M's heads (experts, gating, logistic), of the losses, and of dequantising."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity_tests.golden_fixture import Array, Golden, Gradient, after_update, as_is, norm_of, same

OF_TENSORFLOW = {"epsilon": 1e-3, "decay": 0.99}
OF_SLIM = {"epsilon": 1e-3, "decay": 0.999, "variance": "unbiased"}


def of_vector(width: int, trunk: dict[str, Any], output: str) -> dict[str, Any]:
    return {
        "inputs": {"x": {"shape": [width]}},
        "streams": {"x": {"input": "x"}},
        "trunk": trunk,
        "output": output,
    }


def head_on_vector(name: str, about: dict[str, Any], z: dict[str, Array], spec: Any, theirs: dict[str, str]) -> Golden:
    """A head on one vector.

    `theirs` maps our paths to names in the fixture; `path.*` is a batch normalisation.
    """
    parameters: dict[str, Array] = {}
    expected = {"output": (z["expected/output"], same("output"))}
    recorded = {"x": "input:x"}
    for path, original in theirs.items():
        if path.endswith(".*"):
            parameters |= norm_of(z, path[:-2], original)
            expected |= after_update(z, path[:-2], original)
            recorded |= {f"{path[:-2]}.weight": f"{original}/gamma", f"{path[:-2]}.bias": f"{original}/beta"}
        else:
            parameters[path] = z[f"param/{original}"]
            recorded[path] = original
    paths = {path: (z[f"grad/{original}"], as_is) for path, original in recorded.items()}
    return Golden(
        name,
        about["kind"],
        spec,
        parameters,
        {"x": z["input/x"]},
        expected,
        about["suggested_tolerance"],
        bool(about["config"].get("is_training")),
        [Gradient("projection", lambda ours: z["input/G"], paths)],
    )


EXPERTS = {
    "trunk.experts.gates.weight": "gates/weights",
    "trunk.experts.experts.weight": "experts/weights",
    "trunk.experts.experts.bias": "experts/biases",
}


def _deep_gating(config: dict[str, Any]) -> dict[str, Any]:
    # with a dropout without a mask, so that the first norm's bias counts as trained: its gradient was recorded
    return {"type": "deep_context_gating", "expansion": config["filter_size"], "norm": OF_TENSORFLOW, "dropout": 0.5}


def experts_and_gating(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The mixture of experts of the TensorFlow system with attention clusters, with its deep context gating."""
    config = about["config"]
    experts = {"type": "mixture_of_experts", "classes": config["vocab_size"], "mixtures": config["num_mixtures"]}
    spec = of_vector(config["input_dim"], {"experts": experts, "gating": _deep_gating(config)}, "probabilities")
    theirs = EXPERTS | {
        "trunk.gating.hidden.weight": "dense/kernel",
        "trunk.gating.hidden_norm.*": "batch_normalization",
        "trunk.gating.gate.weight": "dense_1/kernel",
        "trunk.gating.gate_norm.*": "batch_normalization_1",
    }
    return head_on_vector(name, about, z, spec, theirs)


def attention_with_experts(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The whole TensorFlow model with attention clusters.

    It divides each video's attention by the norm of the whole batch, which is sqrt(videos) times ours, since every
    unit of every video has norm 1: the factor goes into the next layer's weights here.
    """
    config = about["config"]
    videos, features = config["batch"], {"video": config["video_dim"], "audio": config["audio_dim"]}
    units = {modality: config[f"{modality}_cluster_size"] for modality in features}
    inputs, streams, parameters = {}, {}, {}
    for modality in features:
        attention = {
            "type": "attention_cluster",
            "units": units[modality],
            "normalize_over": "units",
            "score_bias": False,
            "score_scale": "1/sqrt(features)",
            "score_norm": OF_TENSORFLOW,
            "pre_normalize": True,
            "shift": config["shift_operation"],
            "output_scale": "1",
        }
        unit = {"type": "l2_normalize"}
        inputs[modality] = {"frames": config["max_frames"], "features": features[modality]}
        streams[modality] = {"input": modality, "layers": {"unit": unit, "attention": attention, "whole": unit}}
        path = f"{modality}.attention"
        parameters |= {f"{path}.score.weight": z[f"param/{modality}/dense/kernel"]}
        parameters |= norm_of(z, f"{path}.score_norm", f"{modality}/batch_normalization")
        if config["shift_operation"]:
            parameters |= {f"{path}.{which}": z[f"param/{modality}/{which}"] for which in ("alpha", "beta")}
    trunk = {
        "hidden": {"type": "dense", "units": config["hidden_size"], "bias": False},
        "norm": {"type": "batch_norm", **OF_TENSORFLOW},
        "gating": _deep_gating(config),
        "experts": {
            "type": "mixture_of_experts",
            "classes": config["vocab_size"],
            "mixtures": config["moe_num_mixtures"],
        },
        "class_gating": _deep_gating(config),
    }
    kernel, at = z["param/dense/kernel"], 0
    parts = []
    for modality, width in features.items():
        rows = kernel[at : at + width * units[modality]].reshape(width, units[modality], -1)  # feature-major
        parts.append(rows.swapaxes(0, 1).reshape(width * units[modality], -1) / np.float32(videos**0.5))
        at += width * units[modality]
    parameters |= {"trunk.hidden.weight": np.concatenate(parts)} | norm_of(z, "trunk.norm", "batch_normalization")
    for number, layer in ((1, "gating"), (3, "class_gating")):
        parameters[f"trunk.{layer}.hidden.weight"] = z[f"param/dense_{number}/kernel"]
        parameters[f"trunk.{layer}.gate.weight"] = z[f"param/dense_{number + 1}/kernel"]
        parameters |= norm_of(z, f"trunk.{layer}.hidden_norm", f"batch_normalization_{number}")
        parameters |= norm_of(z, f"trunk.{layer}.gate_norm", f"batch_normalization_{number + 1}")
    parameters |= {path: z[f"param/{theirs}"] for path, theirs in EXPERTS.items()}

    def concatenated(ours: dict[str, Array]) -> Array:
        turned = [
            ours[f"{modality}.whole"].reshape(videos, units[modality], width).swapaxes(1, 2).reshape(videos, -1)
            for modality, width in features.items()
        ]
        return np.concatenate(turned, axis=1) / videos**0.5

    places = {
        "gating_input": "trunk.norm",
        "gating_sigmoid": "trunk.gating.gates",
        "gating_output": "trunk.gating",
        "moe_probabilities": "trunk.experts",
        "moe_gating_sigmoid": "trunk.class_gating.gates",
        "output": "output",
    }
    expected = {"cluster_concat": (z["expected/cluster_concat"], concatenated)}
    expected |= {theirs: (z[f"expected/{theirs}"], same(path)) for theirs, path in places.items()}
    cut = features["video"]
    fed = {"video": z["input/x"][:, :, :cut], "audio": z["input/x"][:, :, cut:]}
    spec = {"inputs": inputs, "streams": streams, "trunk": trunk, "output": "probabilities"}
    return Golden(name, about["kind"], spec, parameters, fed, expected, about["suggested_tolerance"])


def context_gating(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """Context gating of the circulant system."""
    config = about["config"]
    norm = {"norm": OF_SLIM} if config["add_batch_norm"] else {}
    spec = of_vector(config["dim"], {"gating": {"type": "context_gating", **norm}}, "none")
    rest = {"trunk.gating.norm.*": "gating_bn"} if norm else {"trunk.gating.bias": "gating_biases"}
    return head_on_vector(name, about, z, spec, {"trunk.gating.weight": "gating_weights"} | rest)


def mixture_of_experts(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The mixture of experts of the circulant system, with context gating or without."""
    config = about["config"]
    trunk: dict[str, Any] = {
        "experts": {
            "type": "mixture_of_experts",
            "classes": config["vocab_size"],
            "mixtures": config["num_mixtures"],
        }
    }
    theirs = dict(EXPERTS)
    scope = "gating_video_level"
    if f"param/{scope}/gating_weights" in z:
        normed = f"param/{scope}/gating_bn/gamma" in z
        trunk["gating"] = {"type": "context_gating", **({"norm": OF_SLIM} if normed else {})}
        theirs["trunk.gating.weight"] = f"{scope}/gating_weights"
        theirs |= (
            {"trunk.gating.norm.*": f"{scope}/gating_bn"} if normed else {"trunk.gating.bias": f"{scope}/gating_biases"}
        )
    return head_on_vector(name, about, z, of_vector(config["input_dim"], trunk, "probabilities"), theirs)


def logistic(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The logistic head: a dense layer and the sigmoid of the output."""
    config = about["config"]
    spec = of_vector(config["input_dim"], {"logits": {"type": "dense", "units": config["vocab_size"]}}, "sigmoid")
    theirs = {"trunk.logits.weight": "fully_connected/weights", "trunk.logits.bias": "fully_connected/biases"}
    return head_on_vector(name, about, z, spec, theirs)


def _of_loss(name: str, about: dict[str, Any], z: dict[str, Array], loss: str, given: str, margin: float) -> Golden:
    """A loss of numbers: the model passes its input on, divided by `margin`."""
    classes = z[f"input/{given}"].shape[1]
    spec = of_vector(classes, {"same": {"type": "dense", "units": classes, "bias": False}}, "none")
    labels = z["input/labels"].astype(np.float32)
    slopes = {"x": (z[f"grad/{given}"], lambda value: value * margin)} if f"grad/{given}" in z else {}
    return Golden(
        name,
        about["kind"],
        spec,
        {"trunk.same.weight": np.eye(classes, dtype=np.float32) / np.float32(margin)},
        {"x": z[f"input/{given}"]},
        {},
        about["suggested_tolerance"],
        loss=(loss, labels, float(z["expected/loss"].item()) / margin),
        gradients=[Gradient(loss, lambda ours: labels, slopes)] if slopes else [],
    )


def loss_of_predictions(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """Losses of the YouTube-8M starter code.

    A hinge with margin b is b times that of scores divided by b with margin 1.
    """
    loss = {
        "CrossEntropyLoss": "probability_cross_entropy",
        "HingeLoss": "hinge",
        "SoftmaxLoss": "multilabel_softmax_cross_entropy",
    }[about["source"]["cls"]]
    return _of_loss(name, about, z, loss, "predictions", about["config"].get("b", 1.0))


def weighed_loss(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The cross entropy of the gated models' authors, with its share of the labels."""
    loss = f"probability_cross_entropy(alpha={about['config']['alpha']})"
    return _of_loss(name, about, z, loss, "predictions", 1.0)


def loss_of_logits(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """PaddlePaddle's sigmoid cross entropy, summed over the classes."""
    return _of_loss(name, about, z, "sigmoid_cross_entropy", "logits", 1.0)


def dequantizing(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """Bytes to features, for each recorded range."""
    config = about["config"]
    ranges = config.get("ranges_max_min") or [[config["max"], config["min"]]]
    keys = [key.removeprefix("expected/") for key in z if key.startswith("expected/")]
    count = len(z["input/bytes"])
    layers = {
        key: {"type": "rescale", "scale": (most - least) / 255, "offset": (most - least) / 512 + least}
        for key, (most, least) in zip(keys, ranges, strict=True)
    }
    spec = {
        "inputs": {"x": {"shape": [count], "dtype": "uint8"}},
        "streams": {key: {"input": "x", "layers": {"dequantize": layer}} for key, layer in layers.items()},
        "trunk": {"last": {"type": "dense", "units": 1, "bias": False}},
        "output": "none",
    }
    return Golden(
        name,
        about["kind"],
        spec,
        {"trunk.last.weight": np.zeros((count * len(keys), 1), np.float32)},
        {"x": z["input/bytes"][None]},
        {key: (z[f"expected/{key}"], lambda ours, key=key: ours[f"{key}.dequantize"][0]) for key in keys},
        about["suggested_tolerance"],
    )
