"""Golden fixtures of whole networks of the circulant system, with the converter's own table of names."""

from __future__ import annotations

from typing import Any

import numpy as np

from acz.exchange.weights.matching import match
from acz.exchange.weights.systems import SYSTEMS
from acz.exchange.weights.systems.starter_code import SCOPE
from acz.model.spec import Spec
from parity_tests.golden_experts import OF_SLIM
from parity_tests.golden_fixture import Array, Golden, same

BATCH_NORM = {"type": "batch_norm", **OF_SLIM}
RELU6 = {"type": "activation", "function": "relu6"}
POOLING = {"average": "mean"}
FACTOR_EXPERTS, CIRCULANT_EXPERTS = "CirculantWithFactor_MoeModel", "Circulant_MoeModel"


def _linear(units: int, circulant: bool, flags: dict[str, Any], diagonal: str = "learned") -> dict[str, Any]:
    """A dense or circulant layer without bias."""
    if not circulant:
        return {"type": "dense", "units": units, "bias": False}
    return {
        "type": "circulant_dense",
        "units": units,
        "bias": False,
        "factors": flags["k_factor"],
        "diagonal": diagonal,
    }


def _embeddings(flags: dict[str, Any], share: int) -> dict[str, tuple[dict[str, Any], bool]]:
    """The layers of each embedding that the flags ask for, and if the layer after it is circulant.

    Audio has half the clusters.
    """
    embeddings: dict[str, tuple[dict[str, Any], bool]] = {}
    if flags["add_dbof"]:
        method = flags["dbof_pooling_method"]
        layers = {
            "expansion": _linear(flags["dbof_cluster_size"] // share, flags["dbof_circulant"], flags),
            "expansion_norm": BATCH_NORM,
            "expansion_relu6": RELU6,
            "pool": {"type": "frame_pool", "pooling": POOLING.get(method, method)},
        }
        embeddings["dbof"] = layers, flags["fc_dbof_circulant"]
    if flags["add_netvlad"]:
        layers = {"netvlad": {"type": "netvlad", "clusters": flags["netvlad_cluster_size"] // share, "norm": OF_SLIM}}
        embeddings["netvlad"] = layers, flags["fc_netvlad_circulant"]
    if flags["add_fisher_vector"]:
        coupling = flags["fv_coupling_factor"] if flags["fv_couple_weights"] else None
        fisher = {
            "type": "net_fv",
            "clusters": flags["fv_cluster_size"] // share,
            "norm": OF_SLIM,
            "coupling": coupling,
        }
        embeddings["netfv"] = {"net_fv": fisher}, flags["fc_fisher_circulant"]
    if flags["add_moments"]:
        layers = {"pool": {"type": "frame_pool", "pooling": ["mean", "variance"]}}
        embeddings["moments"] = layers, flags["fc_moment_circulant"]
    return embeddings


def _trunk(flags: dict[str, Any], classes: int) -> dict[str, Any]:
    kind = flags["video_level_classifier_model"]
    if kind == "LogisticModel":
        return {"logits": {"type": "dense", "units": classes}}
    experts: dict[str, Any] = {
        "type": "mixture_of_experts",
        "classes": classes,
        "mixtures": flags["moe_num_mixtures"],
    }
    if kind == FACTOR_EXPERTS:
        return {"experts": experts | {"circulant": {"factors": flags["k_factor"], "diagonal": "learned"}}}
    if kind == CIRCULANT_EXPERTS:
        return {"experts": experts | {"circulant": {}}}
    return {"experts": experts, "class_gating": {"type": "context_gating", "norm": OF_SLIM}}


def network(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """A network of frames that were sampled before: bags of `iterations` frames, one after another."""
    config, flags = about["config"], about["config"]["flags"]
    bags, frames, video = flags["n_bagging"], config["iterations"], config["video_dim"]
    widths = {"rgb": video} | ({} if flags["no_audio"] else {"audio": config["audio_dim"]})
    diagonal = "fixed" if flags["use_d_matrix"] else "learned"
    streams = {}
    for share, modality in enumerate(widths, 1):
        for kind, (layers, circulant) in _embeddings(flags, share).items():
            before = {"input_norm": BATCH_NORM} if flags["input_add_batch_norm"] else {}
            behind = {
                "hidden": _linear(flags["fc_hidden_size"], circulant, flags, diagonal),
                "hidden_norm": BATCH_NORM,
                "hidden_relu6": RELU6,
            }
            streams[f"{modality}_{kind}"] = {"input": modality, "bags": bags, "layers": before | layers | behind}
    trunk = _trunk(flags, config["vocab_size"])
    tree = {
        "inputs": {modality: {"frames": bags * frames, "features": width} for modality, width in widths.items()},
        "streams": streams,
        "trunk": trunk,
        "output": "sigmoid" if "logits" in trunk else "probabilities",
    }
    spec, system = Spec.from_dict(tree), SYSTEMS["youtube8m-circulant"]
    theirs = {f"{SCOPE}{key.removeprefix('param/')}": value for key, value in z.items() if key.startswith("param/")}
    matched = match(spec, system.table(spec), system.gather(theirs))
    assert matched.fits, f"{name}: {matched.missing} {matched.wrong} {matched.left_over}"
    expected = {"output": (z["expected/output"], same("output"))}
    if "expected/embedding_concat" in z:  # what comes into the classifier
        expected["embedding_concat"] = (
            z["expected/embedding_concat"],
            lambda ours: np.concatenate([ours[f"{stream}.hidden_relu6"] for stream in streams], axis=1),
        )
    for path, (named, _, _) in matched.names.items():
        key = f"after_update/{named.removeprefix(SCOPE)}"
        if key in z:
            expected[key] = z[key], same(f"updated.{path}")
    x = z["input/x"]
    return Golden(
        name,
        about["kind"],
        tree,
        matched.parameters,
        {"rgb": x[:, :, :video], **({"audio": x[:, :, video:]} if "audio" in widths else {})},
        expected,
        about["suggested_tolerance"],
        config["is_training"],
    )
