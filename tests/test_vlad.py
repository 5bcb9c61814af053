"""NetVLAD, light VLAD and NetFV: the reference against the published sums; padded frames; starting values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from acz.foundation.errors import SpecError
from acz.model.layers import LAYERS, Call
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec

VIDEOS, FRAMES, FEATURES, CLUSTERS = 3, 5, 4, 2
KINDS = ("netvlad", "light_vlad", "net_fv")


def layer(kind: str, **settings: Any) -> Any:
    return LAYERS[kind](type=kind, clusters=CLUSTERS, **settings)


def parameters(aggregation: Any, source: np.random.Generator) -> dict[str, np.ndarray]:
    drawn = {name: source.standard_normal(p.shape) for name, p in aggregation.parameters((FRAMES, FEATURES)).items()}
    positive = ("spread", "norm.running_variance")
    return drawn | {name: np.abs(drawn[name]) + 0.5 for name in positive if name in drawn}


def frames(source: np.random.Generator) -> np.ndarray:
    return source.standard_normal((VIDEOS, FRAMES, FEATURES))


def shares(p: dict[str, np.ndarray], frame: np.ndarray) -> np.ndarray:
    return special.softmax(frame @ p["assignment.weight"] + p["assignment.bias"])


def unit(value: np.ndarray) -> np.ndarray:
    return value / np.linalg.norm(value)


def feature_major(clusters: list[np.ndarray]) -> np.ndarray:
    """Vectors of the clusters as one, number f * K + k."""
    return np.array([clusters[k][f] for f in range(FEATURES) for k in range(CLUSTERS)])


@pytest.mark.parametrize("kind", ["netvlad", "light_vlad"])
def test_residuals_written_out(source: np.random.Generator, kind: str) -> None:
    aggregation, x = layer(kind), frames(source)
    p = parameters(aggregation, source)
    centres = p.get("centres", np.zeros((FEATURES, CLUSTERS)))
    output = aggregation.reference(x, p, Call(path="x"))
    for video in range(VIDEOS):
        clusters = []
        for k in range(CLUSTERS):
            clusters.append(unit(sum(shares(p, frame)[k] * (frame - centres[:, k]) for frame in x[video])))
        np.testing.assert_allclose(output[video], unit(feature_major(clusters)), rtol=1e-12)


@pytest.mark.parametrize("coupling", [None, 0.3])
def test_fisher_vectors_written_out(source: np.random.Generator, coupling: float | None) -> None:
    aggregation, x = layer("net_fv", coupling=coupling), frames(source)
    p = parameters(aggregation, source)
    assert ("centres" in p) == (coupling is None)
    centres = p["centres"] if coupling is None else coupling * p["assignment.weight"]
    sigma = p["spread"] ** 2 + 1e-6
    output = aggregation.reference(x, p, Call(path="x"))
    for video in range(VIDEOS):
        first, second = [], []
        for k in range(CLUSTERS):
            distances = [(frame - centres[:, k]) / sigma[:, k] for frame in x[video]]
            own = [shares(p, frame)[k] for frame in x[video]]
            first.append(unit(sum(a * d for a, d in zip(own, distances, strict=True))))
            second.append(sum(a * (d**2 - 1) for a, d in zip(own, distances, strict=True)))
        want = np.concatenate([unit(feature_major(first)), unit(feature_major(second))])
        np.testing.assert_allclose(output[video], want, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_padded_frames_count_nowhere(source: np.random.Generator, kind: str) -> None:
    aggregation, x = layer(kind, norm={"epsilon": 1e-3}), frames(source)
    p = parameters(aggregation, source)
    mask = np.zeros((VIDEOS, FRAMES + 3), dtype=bool)
    mask[:, 1 : FRAMES + 1] = True
    padded = np.full((VIDEOS, FRAMES + 3, FEATURES), 7.0)
    padded[:, 1 : FRAMES + 1] = x
    plain, longer = Call(True, recorded={}, path="x"), Call(True, recorded={}, path="x", mask=mask)
    np.testing.assert_allclose(aggregation.reference(padded, p, longer), aggregation.reference(x, p, plain), rtol=1e-12)
    assert (longer.recorded["x.assignments"][~mask] == 0).all()
    np.testing.assert_allclose(longer.recorded["x.assignments"].sum(2)[mask], 1.0)
    for name, value in plain.updated.items():
        np.testing.assert_allclose(longer.updated[name], value, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_without_a_valid_frame_is_zero(source: np.random.Generator, kind: str) -> None:
    aggregation = layer(kind)
    mask = np.ones((VIDEOS, FRAMES), dtype=bool)
    mask[1] = False
    output = aggregation.reference(
        frames(source) * mask[:, :, None], parameters(aggregation, source), Call(mask=mask, path="x")
    )
    assert (output[1] == 0).all()
    lengths = np.linalg.norm(output[[0, 2]].reshape(2, -1, FEATURES * CLUSTERS), axis=2)
    np.testing.assert_allclose(lengths, 1.0)


def test_parameters_start_as_published() -> None:
    layers = {"clusters": {"type": "net_fv", "clusters": 64}}
    tree = {"inputs": {"x": {"frames": 2, "features": 256}}, "streams": {"x": {"input": "x", "layers": layers}}}
    start = initial_parameters(Spec.from_dict(tree))
    for name, mean in (("assignment.weight", 0.0), ("centres", 0.0), ("spread", 1.0)):
        value = start[f"x.clusters.{name}"]
        assert value.mean() == pytest.approx(mean, abs=2e-3)
        assert value.std() == pytest.approx(1 / 16, rel=0.02)
    assert start["x.clusters.assignment.bias"].std() == pytest.approx(1 / 16, rel=0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_frames_is_refused(kind: str) -> None:
    tree = {
        "inputs": {"x": {"shape": [4]}},
        "streams": {"x": {"input": "x", "layers": {"clusters": {"type": kind, "clusters": 2}}}},
    }
    with pytest.raises(SpecError, match=rf"{kind} needs \(frames, features\), got \(4,\)"):
        Spec.from_dict(tree)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "netvlad", "clusters": 2**28}, "at most 2,147,483,648 shares are allowed"),
        ({"type": "net_fv", "clusters": 2, "coupling": 1e300}, "coupling"),
    ],
)
def test_sizes_are_limited(settings: dict[str, object], message: str) -> None:
    tree = {
        "inputs": {"x": {"frames": 2**24, "features": 1}},
        "streams": {"x": {"input": "x", "layers": {"clusters": settings}}},
    }
    with pytest.raises(SpecError, match=message):
        Spec.from_dict(tree)
