"""Golden fixtures: numbers recorded from the original systems, and the small table that maps their names to ours.

Fixtures are data: NAME.npz (`param/`, `input/`, `expected/`, `grad/`, `after_update/`) and NAME.json (configuration,
tolerance). A folder of others like them can be tried with ACZ_GOLDEN=FOLDER.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from parity_tests.golden_aggregation import dbof, soft_dbof
from parity_tests.golden_circulant import circulant, circulant_dbof, circulant_experts
from parity_tests.golden_experts import (
    attention_with_experts,
    context_gating,
    dequantizing,
    experts_and_gating,
    logistic,
    loss_of_logits,
    loss_of_predictions,
    mixture_of_experts,
    weighed_loss,
)
from parity_tests.golden_fixture import (
    FOLDER,
    Array,
    Golden,
    Gradient,
    after_update,
    as_is,
    is_ours,
    kind_of,
    norm_of,
    same,
    turned,
)
from parity_tests.golden_gated import gated_network, loupe
from parity_tests.golden_gates import bag, gated_experts
from parity_tests.golden_networks import network
from parity_tests.golden_nextvlad import nextvlad, reverse_whitening
from parity_tests.golden_vlad import aggregation
from parity_tests.golden_winners import nextvlad_network, paddle_nextvlad


def attention_weights(path: str) -> Callable[[dict[str, Array]], Array]:
    """Ours (videos, frames, units), theirs (videos, units, frames)."""
    return lambda ours: ours[path].swapaxes(1, 2)


def _attention(features: int, frames: int, trunk: dict[str, Any], output: str, **settings: Any) -> dict[str, Any]:
    return {
        "inputs": {"x": {"frames": frames, "features": features}},
        "streams": {"x": {"input": "x", "layers": {"attention": {"type": "attention_cluster", **settings}}}},
        "trunk": trunk,
        "output": output,
    }


def flash_satt(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The authors' attention network in PyTorch."""
    config = about["config"]
    trunk = {"logits": {"type": "dense", "units": config["nclass"]}}
    spec = _attention(config["feature_dim"], config["L"], trunk, "log_softmax", units=config["natt"])
    parameters = {
        "x.attention.score.weight": z["param/att.attentions.weight"][:, :, 0].T,
        "x.attention.score.bias": z["param/att.attentions.bias"],
        "x.attention.alpha": z["param/att.w"],
        "x.attention.beta": z["param/att.b"],
        "trunk.logits.weight": z["param/fc.weight"].T,
        "trunk.logits.bias": z["param/fc.bias"],
    }
    expected = {
        "att": (z["expected/att"], same("x.attention")),
        "weights": (z["expected/weights"], attention_weights("x.attention.weights")),
        "logp": (z["expected/logp"], same("output")),
    }
    golden = Golden(name, about["kind"], spec, parameters, {"x": z["input/x"]}, expected, about["suggested_tolerance"])
    for prefix, cotangent, own in (("grad/", "input/G", spec), ("grad_att/", "input/G_att", None)):
        if cotangent not in z:
            continue
        inner = "att." if own else ""
        paths = {
            "x": (z[f"{prefix}x"], as_is),
            "x.attention.score.weight": (z[f"{prefix}{inner}attentions.weight"][:, :, 0], turned),
            "x.attention.alpha": (z[f"{prefix}{inner}w"], as_is),
            "x.attention.beta": (z[f"{prefix}{inner}b"], as_is),
        }
        if own:
            paths["trunk.logits.weight"] = (z["grad/fc.weight"], turned)
            paths["trunk.logits.bias"] = (z["grad/fc.bias"], as_is)
        short = {**spec, "trunk": {}, "output": "none"}
        golden.gradients.append(
            Gradient(
                "projection",
                lambda ours, key=cotangent: z[key],
                paths,
                None if own else short,
                {"x.attention.score.bias": z[f"{prefix}{inner}attentions.bias"]},
            )
        )
    return golden


def extractor(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The frame extractors, in PyTorch and MindSpore (there without biases of the convolutions)."""
    prefix = "extractor." if "param/extractor.conv1.weight" in z else ""
    biased = f"param/{prefix}conv1.bias" in z
    classified = "param/fc2.weight" in z
    conv = {"type": "conv2d", "size": 5, "bias": biased}
    layers = {
        "conv1": {**conv, "filters": 10},
        "pool1": {"type": "max_pool2d"},
        "relu1": {"type": "activation", "function": "relu"},
        "conv2": {**conv, "filters": 20},
        "drop2": {"type": "dropout", "rate": 0.5, "over": "channels"},
        "pool2": {"type": "max_pool2d"},
        "relu2": {"type": "activation", "function": "relu"},
        "flatten": {"type": "flatten"},
        "hidden": {"type": "dense", "units": 50, "activation": "relu"},
        "drop3": {"type": "dropout", "rate": 0.5},
        "features": {"type": "log_softmax"},
    }
    spec = {
        "inputs": {"frame": {"shape": [1, 28, 28]}},
        "streams": {"frame": {"input": "frame", "layers": layers}},
        "trunk": {"logits": {"type": "dense", "units": 11}} if classified else {},
        "output": "log_softmax" if classified else "none",
    }
    parameters = {
        "frame.hidden.weight": z[f"param/{prefix}fc1.weight"].T,
        "frame.hidden.bias": z[f"param/{prefix}fc1.bias"],
    }
    for conv_name in ("conv1", "conv2"):
        parameters[f"frame.{conv_name}.weight"] = z[f"param/{prefix}{conv_name}.weight"]
        if biased:
            parameters[f"frame.{conv_name}.bias"] = z[f"param/{prefix}{conv_name}.bias"]
    if classified:
        parameters |= {"trunk.logits.weight": z["param/fc2.weight"].T, "trunk.logits.bias": z["param/fc2.bias"]}
    shape = z["expected/output"].shape
    expected = {
        "pre_log_softmax": (z["expected/pre_log_softmax"], same("frame.hidden")),
        "features": (z["expected/features"], same("frame.features")),
        "output": (z["expected/output"], lambda ours: ours["output"].reshape(shape)),
    }
    frames = z["input/x"].reshape(-1, 1, 28, 28)
    return Golden(name, about["kind"], spec, parameters, {"frame": frames}, expected, about["suggested_tolerance"])


def mindspore_attention(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The MindSpore port's attention network; its float32 tanh is approximate, which its tolerance allows for."""
    config = about["config"]
    two = config["fc"] == 2
    trunk = {"logits": {"type": "dense", "units": config["nclass"]}}
    settings = {"units": config["natt"]} | ({"hidden": z["param/0.seq.0.bias"].shape[0]} if two else {})
    spec = _attention(config["feature_dim"], config["L"], trunk, "softmax", **settings)
    score = "0.seq.2" if two else "0.seq.0"
    parameters = {
        "x.attention.score.weight": z[f"param/{score}.weight"][:, :, 0, 0].T,
        "x.attention.score.bias": z[f"param/{score}.bias"],
        "x.attention.alpha": z["param/0.w"],
        "x.attention.beta": z["param/0.b"],
        "trunk.logits.weight": z["param/fc.weight"].T,
        "trunk.logits.bias": z["param/fc.bias"],
    }
    if two:
        parameters["x.attention.hidden.weight"] = z["param/0.seq.0.weight"][:, :, 0, 0].T
        parameters["x.attention.hidden.bias"] = z["param/0.seq.0.bias"]
    expected = {
        "att": (z["expected/att"], same("x.attention")),
        "weights": (z["expected/weights"], attention_weights("x.attention.weights")),
        "logits": (z["expected/logits"], same("logits")),
    }
    return Golden(name, about["kind"], spec, parameters, {"x": z["input/x"]}, expected, about["suggested_tolerance"])


def paddle_attention(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """PaddlePaddle's model.

    Its dropout multiplies by (1 - rate) in evaluation: folded into the next layer's weights.
    """
    config = about["config"]
    keep = 1 - config["drop_rate"]

    def matrix(which: str) -> Array:
        if f"param/{which}.weights" in z:
            return z[f"param/{which}.weights"]
        seed, shape, scale = (z[f"recipe/{which}.weights/{part}"] for part in ("seed", "shape", "scale"))
        drawn = np.random.RandomState(int(seed)).randint(-127, 128, size=tuple(shape))
        return drawn.astype(np.float32) * np.float32(scale)

    streams, inputs, parameters = {}, {}, {}
    for index, modality in enumerate(("rgb", "audio")):
        layer = {"type": "attention_cluster", "units": config["cluster_nums"][index]}
        streams[modality] = {"input": modality, "layers": {"attention": layer}}
        inputs[modality] = {"frames": config["seg_num"], "features": config["feature_dims"][index]}
        parameters |= {
            f"{modality}.attention.score.weight": z[f"param/satt{index}.conv.weight"][:, :, 0, 0].T,
            f"{modality}.attention.score.bias": z[f"param/satt{index}.conv.bias"],
            f"{modality}.attention.alpha": z[f"param/satt{index}.shift_w"],
            f"{modality}.attention.beta": z[f"param/satt{index}.shift_b"],
        }
    trunk = {
        "dropout": {"type": "dropout", "rate": config["drop_rate"]},
        "fc1": {"type": "dense", "units": config["hidden"][0], "activation": "tanh"},
        "fc2": {"type": "dense", "units": config["hidden"][1], "activation": "tanh"},
        "logits": {"type": "dense", "units": config["num_classes"]},
    }
    spec = {"inputs": inputs, "streams": streams, "trunk": trunk, "output": "sigmoid"}
    for ours, theirs in (("fc1", "fc1"), ("fc2", "fc2"), ("logits", "logistic")):
        factor = np.float32(keep if ours == "fc1" else 1.0)
        parameters[f"trunk.{ours}.weight"] = matrix(theirs) * factor
        parameters[f"trunk.{ours}.bias"] = z[f"param/{theirs}.bias"]

    def together(ours: dict[str, Array]) -> Array:
        return np.concatenate([ours["rgb.attention"], ours["audio.attention"]], axis=1)

    expected = {
        "weights_rgb": (z["expected/weights_rgb"], attention_weights("rgb.attention.weights")),
        "weights_audio": (z["expected/weights_audio"], attention_weights("audio.attention.weights")),
        "concat_before_dropout": (z["expected/concat_before_dropout"], together),
        "logit": (z["expected/logit"], same("logits")),
        "output": (z["expected/output"], same("output")),
    }
    if "expected/after_dropout" in z:
        expected["after_dropout"] = (z["expected/after_dropout"], lambda ours: together(ours) * keep)
    labels = z["input/label"]
    golden = Golden(
        name,
        about["kind"],
        spec,
        parameters,
        {"rgb": z["input/rgb"], "audio": z["input/audio"]},
        expected,
        about["suggested_tolerance"],
        loss=("sigmoid_cross_entropy", labels, float(z["expected/loss"].item())),
    )
    if any(key.startswith("grad/") for key in z):
        paths: dict[str, tuple[Array, Callable[[Array], Array]]] = {}
        fixed = {}
        for index, modality in enumerate(("rgb", "audio")):
            paths[f"{modality}.attention.score.weight"] = (z[f"grad/satt{index}.conv.weight"][:, :, 0, 0], turned)
            paths[f"{modality}.attention.alpha"] = (z[f"grad/satt{index}.shift_w"], as_is)
            paths[f"{modality}.attention.beta"] = (z[f"grad/satt{index}.shift_b"], as_is)
            fixed[f"{modality}.attention.score.bias"] = z[f"grad/satt{index}.conv.bias"]
        for ours, theirs in (("fc1", "fc1"), ("fc2", "fc2"), ("logits", "logistic")):
            factor = keep if ours == "fc1" else 1.0
            paths[f"trunk.{ours}.weight"] = (z[f"grad/{theirs}.weights"], lambda value, factor=factor: value * factor)
            paths[f"trunk.{ours}.bias"] = (z[f"grad/{theirs}.bias"], as_is)
        golden.gradients.append(Gradient("sigmoid_cross_entropy", lambda ours: labels, paths, None, fixed))
    return golden


def attention_over_units(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """TensorFlow's attention cluster module.

    Its last normalisation runs over the whole batch, ours runs per video.

    The fixture is compared before it, with theirs applied here. It is compared after it where every video has the
    same norm.
    """
    config = about["config"]
    units, features, videos = config["cluster_size"], config["feature_size"], config["batch"]
    settings = {
        "units": units,
        "normalize_over": "units",
        "score_bias": False,
        "score_scale": "1/sqrt(features)",
        "pre_normalize": True,
        "shift": config["shift_operation"],
        "shift_start": "identity",
        "output_scale": "1",
    }
    if config["add_batch_norm"]:
        settings["score_norm"] = {"epsilon": 1e-3, "decay": 0.99, "variance": "biased"}
    spec = _attention(features, config["max_frames"], {}, "none", **settings)
    whole = {**spec, "trunk": {"whole": {"type": "l2_normalize"}}}
    parameters = {"x.attention.score.weight": z["param/dense/kernel"]}
    if config["shift_operation"]:
        parameters |= {"x.attention.alpha": z["param/alpha"], "x.attention.beta": z["param/beta"]}
    if config["add_batch_norm"]:
        parameters |= norm_of(z, "x.attention.score_norm", "batch_normalization")

    def feature_major(value: Array) -> Array:
        return value.reshape(-1, units, features).swapaxes(1, 2).reshape(len(value), -1)

    def unit_major(value: Array) -> Array:
        return value.reshape(-1, features, units).swapaxes(1, 2).reshape(len(value), -1)

    def of_whole_batch(ours: dict[str, Array]) -> Array:
        vectors = feature_major(ours["x.attention"].astype(np.float64))
        return vectors / np.sqrt((vectors**2).sum())

    expected = {
        "output, normalised over the batch": (z["expected/output"], of_whole_batch),
        "output, normalised per video": (z["expected/output"], lambda o: feature_major(o["output"]) / videos**0.5),
    }
    expected |= after_update(z, "x.attention.score_norm", "batch_normalization")
    golden = Golden(
        name,
        about["kind"],
        whole,
        parameters,
        {"x": z["input/x"]},
        expected,
        about["suggested_tolerance"],
        config["is_training"],
    )

    def cotangent(ours: dict[str, Array]) -> Array:
        """The gradient of a, which is normalised over the batch to z = a / |a|: (G - z (z . G)) / |a|."""
        a = feature_major(ours["x.attention"].astype(np.float64))
        size = np.sqrt((a**2).sum())
        given = z["input/G"].astype(np.float64)
        return unit_major((given - a / size * (a / size * given).sum()) / size)

    if "input/G" in z:
        theirs = {
            "x": "input:x",
            "x.attention.score.weight": "dense/kernel",
            "x.attention.alpha": "alpha",
            "x.attention.beta": "beta",
            "x.attention.score_norm.weight": "batch_normalization/gamma",
            "x.attention.score_norm.bias": "batch_normalization/beta",
        }
        paths = {p: (z[f"grad/{t}"], as_is) for p, t in theirs.items() if f"grad/{t}" in z}
        golden.gradients.append(Gradient("projection", cotangent, paths, spec))
    return golden


KINDS = {
    "flash_satt": flash_satt,
    "flash_ext": extractor,
    "ms_ext": extractor,
    "ms_ac": mindspore_attention,
    "pd_ac": paddle_attention,
    "pom_acm": attention_over_units,
    "pom_moe": experts_and_gating,
    "pom_model": attention_with_experts,
    "context_gating": context_gating,
    "head_MoeModel": mixture_of_experts,
    "head_LogisticModel": logistic,
    "tf_loss": loss_of_predictions,
    "pd_ce": loss_of_logits,
    "dequant": dequantizing,
    "circ_layer": circulant,
    "circ_factor": circulant,
    "circ_diag": circulant,
    "DBofCirculant": circulant_dbof,
    "head_Circulant_MoeModel": circulant_experts,
    "head_CirculantWithFactor_MoeModel": circulant_experts,
    "DBof": dbof,
    "SoftDBoF": soft_dbof,
    "NetVLAD": aggregation,
    "LightVLAD": aggregation,
    "NetFV": aggregation,
    "circ_net": network,
    "NeXtVLAD": nextvlad,
    "NeXtVLADModel": nextvlad_network,
    "paddle_nextvlad": paddle_nextvlad,
    "reverse_whitening": reverse_whitening,
    "WILLOW_CrossEntropyLoss": weighed_loss,
    "WILLOW_DBoF": bag,
    "WILLOW_GatedDBoF": bag,
    "WILLOW_NetVLAGD": bag,
    "WILLOW_MoeModel": gated_experts,
    "WILLOW model": gated_network,
    "LOUPE": loupe,
}


def names() -> list[str]:
    """Fixtures of the kinds above, in the folder."""
    cases = []
    for path in sorted(FOLDER.glob("*.json")):
        about = json.loads(path.read_text())
        if kind_of(about) in KINDS and path.with_suffix(".npz").is_file() and is_ours(about):
            cases.append(path.stem)
    return cases


def load(name: str) -> Golden:
    about = json.loads((FOLDER / f"{name}.json").read_text())
    with np.load(FOLDER / f"{name}.npz") as file:
        values = {key: file[key] for key in file.files}
    golden = KINDS[kind_of(about)](name, about, values)
    stored = {key.removeprefix("expected64/"): value for key, value in values.items() if key.startswith("expected64/")}
    shapes = {what: value.shape for what, (value, _) in golden.expected.items()}
    golden.exact = {what: value for what, value in stored.items() if shapes.get(what) == value.shape}
    return golden
