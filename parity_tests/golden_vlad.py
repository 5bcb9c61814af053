"""Golden fixtures of the circulant system's aggregation by clusters: NetVLAD, light VLAD and NetFV."""

from __future__ import annotations

from typing import Any

from parity_tests.golden_experts import OF_SLIM
from parity_tests.golden_fixture import Array, Golden, Gradient, after_update, norm_of, same

THEIRS = {
    "assignment.weight": "cluster_weights",
    "assignment.bias": "cluster_biases",
    "centres": "cluster_weights2",
    "spread": "covar_weights",
    "norm.weight": "cluster_bn/gamma",
    "norm.bias": "cluster_bn/beta",
}
"""Our local names, and the originals' of the same arrays; a layer has some of them."""
PATH = "x.clusters"


def aggregation(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """One of the three layers on frames that the original holds as rows, one video after the other."""
    config = about["config"]
    settings: dict[str, Any] = {"type": TYPES[about["kind"]], "clusters": config["cluster_size"]}
    parameters, expected = {}, {"output": (z["expected/output"], same("output"))}
    if config["add_batch_norm"]:
        settings["norm"] = OF_SLIM
        parameters |= norm_of(z, f"{PATH}.norm", "cluster_bn")
        expected |= after_update(z, f"{PATH}.norm", "cluster_bn")
    if config.get("couple"):
        settings["coupling"] = config["cf"]
    frames, features = config["max_frames"], config["feature_size"]
    spec = {
        "inputs": {"x": {"frames": frames, "features": features}},
        "streams": {"x": {"input": "x", "layers": {"clusters": settings}}},
        "output": "none",
    }
    paths = {"x": (z["grad/input:x"], lambda value: value.reshape(-1, features))}
    for ours, theirs in THEIRS.items():
        if f"param/{theirs}" in z:
            matrix = (
                (features, -1) if z[f"param/{theirs}"].ndim > 1 else -1
            )  # their centres are (1, features, clusters)
            parameters[f"{PATH}.{ours}"] = z[f"param/{theirs}"].reshape(matrix)
            recorded = z[f"grad/{theirs}"]
            paths[f"{PATH}.{ours}"] = (recorded, lambda value, shape=recorded.shape: value.reshape(shape))
    return Golden(
        name,
        about["kind"],
        spec,
        parameters,
        {"x": z["input/x"].reshape(-1, frames, features)},
        expected,
        about["suggested_tolerance"],
        config["is_training"],
        [Gradient("projection", lambda ours: z["input/G"], paths)],
    )


TYPES = {"NetVLAD": "netvlad", "LightVLAD": "light_vlad", "NetFV": "net_fv"}
