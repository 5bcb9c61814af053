"""Golden fixtures of the gated models' layers (antoine77340/Youtube-8M-WILLOW): bags, VLAGD, and gated experts."""

from __future__ import annotations

from typing import Any

from parity_tests.golden_experts import EXPERTS, OF_SLIM, head_on_vector, of_vector
from parity_tests.golden_fixture import Array, Golden, Gradient, after_update, norm_of, same

NORM = {"type": "batch_norm", **OF_SLIM}
EXPANSION = {"x.expansion.weight": "cluster_weights", "x.expansion_norm.*": "cluster_bn"}
LAYERS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "WILLOW_DBoF": ({"pool": {"type": "frame_pool", "pooling": ["mean", "max"], "normalize": True}}, EXPANSION),
    "WILLOW_GatedDBoF": (
        {"softmax": {"type": "softmax"}, "pool": {"type": "gated_bag", "norm": OF_SLIM}},
        EXPANSION
        | {
            "x.pool.squeeze.weight": "dim_red",
            "x.pool.excite.weight": "cluster_weights_2",
            "x.pool.norm.*": "cluster_bn_2",
        },
    ),
    "WILLOW_NetVLAGD": (
        {"pool": {"type": "light_vlad", "gated": True, "norm": OF_SLIM}},
        {
            "x.pool.assignment.weight": "cluster_weights",
            "x.pool.norm.*": "cluster_bn",
            "x.pool.gates": "gate_weights",
        },
    ),
}
"""The layers behind the projection of the frames, and our paths beside the original's names; `path.*` is a batch norm."""


def bag(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """A layer on frames that the original holds as rows, one video after the other."""
    config, kind = about["config"], about["kind"]
    frames, features, clusters = config["max_frames"], config["feature_size"], config["cluster_size"]
    behind, theirs = LAYERS[kind]
    layers: dict[str, Any] = {}
    if "x.expansion.weight" in theirs:
        layers = {"expansion": {"type": "dense", "units": clusters, "bias": False}, "expansion_norm": NORM}
    size = {"WILLOW_GatedDBoF": {"hidden": features}, "WILLOW_NetVLAGD": {"clusters": clusters}}.get(kind, {})
    layers |= behind | {"pool": {**behind["pool"], **size}}
    spec = {
        "inputs": {"x": {"frames": frames, "features": features}},
        "streams": {"x": {"input": "x", "layers": layers}},
        "output": "none",
    }
    parameters, expected = {}, {"output": (z["expected/output"], same("output"))}
    recorded = {"x": (z["grad/input:x"], lambda value: value.reshape(-1, features))}
    for path, original in theirs.items():
        if path.endswith(".*"):
            parameters |= norm_of(z, path[:-2], original)
            expected |= after_update(z, path[:-2], original)
        elif path == "x.pool.gates":  # theirs are (1, clusters, features)
            parameters[path] = z[f"param/{original}"][0].T
            recorded[path] = (z[f"grad/{original}"], lambda value: value.T[None])
        else:
            parameters[path] = z[f"param/{original}"]
            recorded[path] = (z[f"grad/{original}"], lambda value: value)
    return Golden(
        name,
        kind,
        spec,
        parameters,
        {"x": z["input/x"].reshape(-1, frames, features)},
        expected,
        about["suggested_tolerance"],
        config["is_training"],
        [Gradient("projection", lambda ours: z["input/G"], recorded)],
    )


def gated_experts(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The mixture of experts with a gating of the probabilities, by themselves or by the input, and gates of low rank."""
    config = about["config"]
    by_input = config["moe_prob_gating_input"] != "prob"
    gating = {"norm": OF_SLIM, "remove_diagonal": config["gating_remove_diag"]}
    experts = {
        "type": "mixture_of_experts",
        "classes": config["vocab_size"],
        "mixtures": config["num_mixtures"],
        "low_rank": config["moe_low_rank_gating"] if config["moe_low_rank_gating"] > 0 else None,
    }
    trunk: dict[str, Any] = {"experts": experts}
    theirs = dict(EXPERTS)
    if experts["low_rank"]:
        theirs |= {"trunk.experts.gates_input.weight": "gates1/weights", "trunk.experts.gates.weight": "gates2/weights"}
    if config["moe_prob_gating"] and by_input:
        experts["input_gating"] = gating
        theirs |= {
            "trunk.experts.gating.weight": "gating_prob_weights",
            "trunk.experts.gating_norm.*": "gating_prob_bn",
        }
    elif config["moe_prob_gating"]:
        trunk["class_gating"] = {"type": "context_gating", **gating}
        theirs |= {
            "trunk.class_gating.weight": "gating_prob_weights",
            "trunk.class_gating.norm.*": "gating_prob_bn",
        }
    return head_on_vector(name, about, z, of_vector(config["input_dim"], trunk, "probabilities"), theirs)
