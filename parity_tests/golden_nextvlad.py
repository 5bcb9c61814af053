"""Golden fixtures of NeXtVLAD's layer, and of the reverse of whitening."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity_tests.golden_fixture import Array, Golden, Gradient, after_update, as_is, norm_of, same

UNFUSED = {"epsilon": 1e-3, "decay": 0.999}
"""The original's batch norms with fused=False: the biased variance enters the running one."""
LAYER = {
    "expansion.weight": "fully_connected/weights",
    "expansion.bias": "fully_connected/biases",
    "attention.weight": "fully_connected_1/weights",
    "attention.bias": "fully_connected_1/biases",
    "assignment.weight": "cluster_weights",
    "centres": "cluster_weights2",
}
"""Our local names, and the originals' of the same arrays."""


def nextvlad(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """The layer, and the batch norm behind it."""
    config = about["config"]
    frames, features = config["max_frames"], config["feature_size"]
    sizes = {"clusters": config["cluster_size"], "groups": config["groups"], "expansion": config["expansion"]}
    layers = {
        "clusters": {"type": "nextvlad", **sizes, "norm": UNFUSED},
        "norm": {"type": "batch_norm", **UNFUSED},
    }
    spec = {
        "inputs": {"x": {"frames": frames, "features": features}},
        "streams": {"x": {"input": "x", "layers": layers}},
        "output": "none",
    }
    norms = {"x.clusters.norm": "cluster_bn", "x.norm": "vlad_bn"}
    parameters, expected = {}, {"output": (z["expected/output"], same("output"))}
    recorded = {"x": (z["grad/input:x"], as_is)}
    for path, theirs in norms.items():
        parameters |= norm_of(z, path, theirs)
        expected |= after_update(z, path, theirs)
        recorded |= {f"{path}.weight": (z[f"grad/{theirs}/gamma"], as_is)}
        recorded |= {f"{path}.bias": (z[f"grad/{theirs}/beta"], as_is)}
    for ours, theirs in LAYER.items():
        value, gradient = z[f"param/{theirs}"], z[f"grad/{theirs}"]
        parameters[f"x.clusters.{ours}"] = (
            value[0] if ours == "centres" else value
        )  # theirs are (1, E / groups, clusters)
        recorded[f"x.clusters.{ours}"] = (gradient, lambda value, shape=gradient.shape: value.reshape(shape))
    inputs = {"x": z["input/x"]} | ({"x.mask": z["input/mask"] > 0} if "input/mask" in z else {})
    return Golden(
        name,
        about["kind"],
        spec,
        parameters,
        inputs,
        expected,
        about["suggested_tolerance"],
        config["is_training"],
        [Gradient("projection", lambda ours: z["input/G"], recorded)],
    )


def reverse_whitening(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """Bytes to what NeXtVLAD reads. Padded frames of the original are not zero, and enter nothing."""
    data, counts = z["input/bytes"], z["input/num_frames"]
    valid = np.arange(data.shape[1]) < counts[:, None]
    layers = {
        "dequantize": {"type": "rescale", "scale": 4 / 255, "offset": 4 / 512 - 2},
        "unwhiten": {"type": "reverse_whitening"},
        "pool": {"type": "frame_pool", "pooling": "mean"},
    }
    rgb = 1024
    spec = {
        "inputs": {"rgb": {"frames": data.shape[1], "features": rgb, "dtype": "uint8"}},
        "streams": {"rgb": {"input": "rgb", "layers": layers}},
        "output": "none",
    }
    expected = {
        what: (z[f"expected/{what}"][valid][:, :rgb], lambda ours, path=path: ours[path][valid])
        for what, path in (("raw", "rgb.dequantize"), ("model_input", "rgb.unwhiten"))
    }
    scale = np.sqrt(z["input/eigenvals"][:rgb, 0]) + np.float32(1e-4)
    inputs = {"rgb": data[:, :, :rgb], "rgb.mask": valid}
    tolerance = about["suggested_tolerance"]
    return Golden(name, about["kind"], spec, {"rgb.unwhiten.scale": scale}, inputs, expected, tolerance)
