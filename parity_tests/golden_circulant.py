"""Golden fixtures of the circulant system: circulant layers, DBoF with one, and mixtures of experts made of them.

Each is run in both forms of the product at once, as two streams with the same parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from parity_tests.golden_experts import OF_SLIM
from parity_tests.golden_fixture import NORM, Array, Golden, Gradient, after_update, as_is, norm_of, same

FORMS = ("fft", "dense")
OF_CLASS = {"layer": "none", "factor": "learned", "diag": "fixed"}
"""The diagonal of each of the system's three circulant classes."""


def _names(own: str, scope: str, features: int, units: int, factors: int) -> dict[str, list[list[str]]]:
    """The fixture's names of our `weight` and `diagonal`: of each factor, those of the blocks."""
    count = math.ceil(units / features)
    if own == "layer":  # whose only block has no number
        return {"weight": [[f"{scope}weights{block if count > 1 else ''}" for block in range(count)]]}
    return {
        ours: [[f"{scope}weights_{theirs}{block}_f{factor}" for block in range(count)] for factor in range(factors)]
        for ours, theirs in (("weight", "circ"), ("diagonal", "diag"))
    }


def _stacked(z: dict[str, Array], group: str, names: list[list[str]]) -> Array:
    """Vectors (1, features) as (factors, blocks, features)."""
    return np.stack([np.concatenate([z[f"{group}/{name}"] for name in blocks]) for blocks in names])


def _in_both_forms(
    name: str,
    about: dict[str, Any],
    z: dict[str, Array],
    entry: dict[str, Any],
    layers: Callable[[str], dict[str, Any]],
    names: dict[str, Any],
    norm: str = "",
) -> Golden:
    """A fixture with one input and one output.

    Args:
        layers: gives the layers for an algorithm of the product.
        names: maps our paths in them to the fixture's name, or to the names of blocks.
        norm: our path of the batch norm that the fixture calls cluster_bn."""
    x, output, videos = z["input/x"], z["expected/output"], len(z["expected/output"])
    streams = {form: {"input": "x", "layers": layers(form)} for form in FORMS}
    parameters: dict[str, Array] = {}
    expected, paths = {}, {}
    for form, stream in streams.items():
        expected[f"output, {form}"] = (output, same(f"{form}.{list(stream['layers'])[-1]}"))
        for ours, theirs in names.items():
            path, blocks = f"{form}.{ours}", isinstance(theirs, list)
            parameters[path] = _stacked(z, "param", theirs) if blocks else z[f"param/{theirs}"]
            if f"grad/{theirs[0][0] if blocks else theirs}" in z:
                paths[path] = (_stacked(z, "grad", theirs) if blocks else z[f"grad/{theirs}"], as_is)
        if norm:
            parameters |= norm_of(z, f"{form}.{norm}", "cluster_bn")
            updated = after_update(z, f"{form}.{norm}", "cluster_bn")
            expected |= {f"{what}, {form}": value for what, value in updated.items()}
            paths |= {
                f"{form}.{norm}.{ours}": (z[f"grad/cluster_bn/{NORM[ours]}"], as_is) for ours in ("weight", "bias")
            }
    gradients = []
    if "input/G" in z:
        paths["x"] = (z["grad/input:x"] * len(FORMS), lambda value: value.reshape(x.shape))
        gradients = [Gradient("projection", lambda ours: np.concatenate([z["input/G"]] * len(FORMS), axis=1), paths)]
    return Golden(
        name,
        about["kind"],
        {"inputs": {"x": entry}, "streams": streams, "output": "none"},
        parameters,
        {"x": x.reshape(videos, -1, x.shape[1]) if "frames" in entry else x},
        expected,
        about["suggested_tolerance"],
        bool(about["config"].get("is_training")),
        gradients,
    )


def circulant(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """A circulant layer.

    Of an odd input size the second class gives something else: there the exact product is expected.
    """
    config, own = about["config"], about["kind"].removeprefix("circ_")
    features, units, factors = config["in_dim"], config["out_dim"], config.get("k_factor", 1)

    def layers(form: str) -> dict[str, Any]:
        settings = {"units": units, "factors": factors, "diagonal": OF_CLASS[own], "bias": False, "product": form}
        return {"circulant": {"type": "circulant_dense", **settings}}

    theirs = _names(own, "", features, units, factors)
    names = {f"circulant.{ours}": blocks for ours, blocks in theirs.items()}
    golden = _in_both_forms(name, about, z, {"shape": [features]}, layers, names)
    if config.get("odd_in_dim"):
        weight, diagonal = (_stacked(z, "param", theirs[ours]).astype(np.float64) for ours in ("weight", "diagonal"))
        exact = _summed(z["input/x"], weight, diagonal)[:, :units]
        golden.expected = {what: (exact, mapped) for what, (_, mapped) in golden.expected.items()}
    return golden


def _summed(x: Array, weight: Array, diagonal: Array) -> Array:
    """Learned diagonal and circular correlation, number by number."""
    n, vectors = x.shape[1], []
    for block in range(weight.shape[1]):
        y = x.astype(np.float64)
        for w, d in zip(weight[:, block], diagonal[:, block], strict=True):
            y = np.stack([sum(y[:, j] * d[j] * w[(j - i) % n] for j in range(n)) for i in range(n)], axis=1)
        vectors.append(y)
    return np.concatenate(vectors, axis=1)


def circulant_dbof(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """DBoF whose expansion is circulant, with learned diagonals: batch norm, relu6, pooling over frames."""
    config = about["config"]
    features, units, factors = config["feature_size"], config["cluster_size"], config["k"]

    def layers(form: str) -> dict[str, Any]:
        settings = {"units": units, "factors": factors, "diagonal": "learned", "bias": False, "product": form}
        return {
            "clusters": {"type": "circulant_dense", **settings},
            "norm": {"type": "batch_norm", **OF_SLIM},
            "function": {"type": "activation", "function": "relu6"},
            "pool": {"type": "frame_pool", "pooling": "mean" if config["pool"] == "average" else config["pool"]},
        }

    names = {f"clusters.{ours}": blocks for ours, blocks in _names("factor", "", features, units, factors).items()}
    entry = {"frames": config["max_frames"], "features": features}
    return _in_both_forms(name, about, z, entry, layers, names, "norm")


def circulant_experts(name: str, about: dict[str, Any], z: dict[str, Array]) -> Golden:
    """A mixture of experts whose weights are circulant, with learned diagonals or none."""
    config, own = about["config"], "factor" if "Factor" in about["kind"] else "layer"
    features, classes, mixtures = config["input_dim"], config["vocab_size"], config["num_mixtures"]
    factors = config["k_factor"]

    def layers(form: str) -> dict[str, Any]:
        product = {"factors": factors, "diagonal": OF_CLASS[own], "product": form}
        settings = {"classes": classes, "mixtures": mixtures, "circulant": product}
        return {"experts": {"type": "mixture_of_experts", **settings}}

    names: dict[str, Any] = {"experts.experts.bias": "circulant_expert/biases"}
    for side, scope, units in (
        ("gates", "circulant_gates/", classes * (mixtures + 1)),
        ("experts", "circulant_expert/", classes * mixtures),
    ):
        theirs = _names(own, scope, features, units, factors)
        names |= {f"experts.{side}.{ours}": blocks for ours, blocks in theirs.items()}
    return _in_both_forms(name, about, z, {"shape": [features]}, layers, names)
