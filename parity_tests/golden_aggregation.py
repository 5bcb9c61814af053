"""Golden fixtures of the circulant system's bags of frames: DBoF and Soft-DBoF."""

from __future__ import annotations

from typing import Any

from parity_tests.golden_experts import OF_SLIM
from parity_tests.golden_fixture import Array, Golden, Gradient, after_update, as_is, norm_of, same

POOLING = {"max": "max", "average": "mean", "l2_norm": "l2_norm"}
"""Their names of poolings, and ours."""


def dbof(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """DBoF.

    The gradient that they give of an L2 norm is NaN where a cluster is zero in all frames; ours is finite there.
    """
    layers = {
        "relu6": {"type": "activation", "function": "relu6"},
        "pool": {"type": "frame_pool", "pooling": POOLING[about["config"]["pool"]]},
    }
    return _of_frames(name, about, z, layers)


def soft_dbof(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """Soft-DBoF: the sum over frames and, if the fixture has it, the largest value, each with norm 1."""
    pooling = ["sum", "max"] if about["config"]["max_pool"] else ["sum"]
    layers = {"softmax": {"type": "softmax"}, "pool": {"type": "frame_pool", "pooling": pooling, "normalize": True}}
    return _of_frames(name, about, z, layers)


def _of_frames(name: str, about: dict[str, Any], z: dict[str, Array], after: dict[str, Any]) -> Golden:
    """Frames, which the original holds as rows, one video after the other, to clusters, and the layers behind them."""
    config = about["config"]
    frames, features = config["max_frames"], config["feature_size"]
    layers: dict[str, Any] = {"clusters": {"type": "dense", "units": config["cluster_size"], "bias": False}}
    parameters = {"x.clusters.weight": z["param/cluster_weights"]}
    expected = {"output": (z["expected/output"], same("output"))}
    paths = {
        "x": (z["grad/input:x"], lambda value: value.reshape(-1, features)),
        "x.clusters.weight": (z["grad/cluster_weights"], as_is),
    }
    if config["add_batch_norm"]:
        layers["norm"] = {"type": "batch_norm", **OF_SLIM}
        parameters |= norm_of(z, "x.norm", "cluster_bn")
        expected |= after_update(z, "x.norm", "cluster_bn")
        paths |= {
            "x.norm.weight": (z["grad/cluster_bn/gamma"], as_is),
            "x.norm.bias": (z["grad/cluster_bn/beta"], as_is),
        }
    spec = {
        "inputs": {"x": {"frames": frames, "features": features}},
        "streams": {"x": {"input": "x", "layers": layers | after}},
        "output": "none",
    }
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
