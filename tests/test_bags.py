"""Pooling over frames, DBoF, Soft-DBoF and moments, and bags of frames: against NumPy written out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.data.youtube8m.dataset import open_youtube8m
from acz.data.youtube8m.settings import CLASSES, WIDTHS, Reading, Sampling
from acz.foundation.errors import DataError, SpecError
from acz.model.layers import LAYERS, Call
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.parity.cases import cases
from acz.reference import derivatives, execution
from tests.youtube8m_cases import write_shards

FRAMES, FEATURES = 6, 3
POOLED = {
    "max": lambda x: x.max(0),
    "mean": lambda x: x.mean(0),
    "sum": lambda x: x.sum(0),
    "l2_norm": lambda x: np.linalg.norm(x, axis=0),
    "variance": lambda x: x.var(0),
}


def model(layers: dict[str, Any], bags: int = 1, output: str = "none", **more: Any) -> Spec:
    stream = {"input": "x", "layers": layers} | ({"bags": bags} if bags > 1 else {})
    inputs = {"x": {"frames": FRAMES, "features": FEATURES}}
    return Spec.from_dict({"inputs": inputs, "streams": {"x": stream}, "output": output, **more})


def run(spec: Spec, x: np.ndarray, mask: np.ndarray | None = None, p: Any = None, **more: Any) -> dict[str, np.ndarray]:
    inputs = {"x": x} if mask is None else {"x": x, "x.mask": mask}
    return execution.forward(spec, initial_parameters(spec, 1, np.float64) | (p or {}), inputs, **more)


@pytest.mark.parametrize("kind", POOLED)
def test_a_pooling_is_of_valid_frames_and_zero_without_one(source: np.random.Generator, kind: str) -> None:
    x = source.standard_normal((3, FRAMES, FEATURES)) - 3  # below zero, so that a padded zero would be the largest
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=bool)
    layer = LAYERS["frame_pool"](type="frame_pool", pooling=kind)
    pooled = layer.reference(np.where(mask[:, :, None], x, 1e6), {}, Call(mask=mask, path="x"))
    np.testing.assert_allclose(pooled[:2], [POOLED[kind](x[0]), POOLED[kind](x[1, mask[1]])], rtol=1e-12)
    assert (pooled[2] == 0).all()
    np.testing.assert_allclose(layer.reference(x, {}, Call(path="x"))[2], POOLED[kind](x[2]), rtol=1e-12)


def test_several_poolings_stand_in_their_order_each_with_norm_one(source: np.random.Generator) -> None:
    x = source.standard_normal((2, FRAMES, FEATURES))
    layer = LAYERS["frame_pool"](type="frame_pool", pooling=["sum", "max"], normalize=True)
    want = [y / np.linalg.norm(y) for y in (x[1].sum(0), x[1].max(0))]
    np.testing.assert_allclose(layer.reference(x, {}, Call(path="x"))[1], np.concatenate(want), rtol=1e-12)
    assert layer.output_shape((FRAMES, FEATURES)) == (2 * FEATURES,)


def test_an_l2_norm_of_zeros_is_zero_with_gradient_zero(source: np.random.Generator) -> None:
    spec = model({"pool": {"type": "frame_pool", "pooling": "l2_norm"}})
    x = source.standard_normal((2, FRAMES, FEATURES))
    x[0] = 0
    cotangent = source.standard_normal((2, FEATURES))
    assert (run(spec, x)["output"][0] == 0).all()
    gradient = derivatives.gradient(spec, {}, {"x": x}, cotangent, "projection", ["x"])["x"]
    assert (gradient[0] == 0).all()
    np.testing.assert_allclose(gradient[1], cotangent[1] * x[1] / np.linalg.norm(x[1], axis=0), rtol=1e-12)


def test_what_is_no_pooling_is_refused() -> None:
    for pooling, words in (("maximum", "pooling"), (["max", "max"], "named only once"), ([], "at least 1")):
        with pytest.raises(SpecError, match=words):
            model({"pool": {"type": "frame_pool", "pooling": pooling}})
    with pytest.raises(SpecError, match=r"frame_pool needs \(frames, features\)"):
        model(
            {"pool": {"type": "frame_pool", "pooling": "max"}},
            trunk={"again": {"type": "frame_pool", "pooling": "max"}},
        )


@pytest.mark.parametrize(("bags", "kind"), [(2, "max"), (3, "variance"), (6, "l2_norm")])
def test_each_bag_is_pooled_by_itself_and_the_vectors_averaged(
    source: np.random.Generator, bags: int, kind: str
) -> None:
    spec = model({"pool": {"type": "frame_pool", "pooling": kind}}, bags)
    x = source.standard_normal((4, FRAMES, FEATURES))
    want = [np.mean([POOLED[kind](part) for part in np.split(video, bags)], axis=0) for video in x]
    np.testing.assert_allclose(run(spec, x)["output"], want, rtol=1e-5)  # float32, as of a model without parameters


def test_bags_without_a_valid_frame_do_not_count_and_a_short_one_does(source: np.random.Generator) -> None:
    spec = model({"pool": {"type": "frame_pool", "pooling": "mean"}}, bags=2)
    x = source.standard_normal((3, FRAMES, FEATURES))
    mask = np.arange(FRAMES) < np.array([4, 3, 0])[:, None]
    want = [(x[0, :3].mean(0) + x[0, 3]) / 2, x[1, :3].mean(0), np.zeros(FEATURES)]
    np.testing.assert_allclose(run(spec, x, mask)["output"], want, rtol=1e-5)
    np.testing.assert_allclose(run(spec, x[:, :4])["output"][0], want[0], rtol=1e-5)  # as many frames as there are


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["layers/bags_of_frames", "layers/moments"])
def test_padding_at_the_end_changes_nothing_with_bags_either(name: str, training: bool) -> None:
    case = cases(name)[0]
    batch = case.batch("padded")
    x, mask = batch.inputs["x"], batch.inputs["x.mask"]
    longer = np.concatenate([x, np.full((len(x), 5, FEATURES), np.nan)], axis=1)
    longer_mask = np.concatenate([mask, np.zeros((len(x), 5), bool)], axis=1)
    plain, other = (
        run(case.spec, *given, case.parameters, training=training) for given in ((x, mask), (longer, longer_mask))
    )
    for key, value in plain.items():
        np.testing.assert_allclose(other[key], value, rtol=1e-12, atol=1e-14, err_msg=key)


def test_layers_before_see_all_frames_and_those_behind_the_average(source: np.random.Generator) -> None:
    spec = model(
        {
            "norm": {"type": "batch_norm"},
            "pool": {"type": "frame_pool", "pooling": "max"},
            "square": {"type": "dense", "units": 1, "activation": "sigmoid"},
        },
        bags=2,
    )
    assert spec.bags == {"x.pool": 3}
    shapes = [(placed.input_shape, placed.output_shape) for placed in spec.layout]
    assert shapes == [((6, 3), (6, 3)), ((3, 3), (3,)), ((3,), (1,))]
    x = source.standard_normal((4, FRAMES, FEATURES))
    recorded = run(spec, x, training=True, record=True)
    whole = x.reshape(-1, FEATURES)
    normed = (x - whole.mean(0)) / np.sqrt(whole.var(0) + 1e-5)
    np.testing.assert_allclose(recorded["x.norm"], normed, rtol=1e-10)
    np.testing.assert_allclose(recorded["x.pool"], (normed[:, :3].max(1) + normed[:, 3:].max(1)) / 2, rtol=1e-10)


def test_bags_are_part_of_the_function_and_survive() -> None:
    layers = {"pool": {"type": "frame_pool", "pooling": ["max"]}}
    whole, in_bags = model(layers), model(layers, bags=2)
    assert whole.hash != in_bags.hash
    assert whole.hash == model({"pool": {"type": "frame_pool", "pooling": "max"}}).hash
    for spec in (whole, in_bags):
        again = Spec.from_dict(spec.to_dict())
        assert (again.hash, again.bags, again.to_dict()) == (spec.hash, spec.bags, spec.to_dict())


@pytest.mark.parametrize("bags", [4, 0, True, "two", 2.0])
def test_bags_that_do_not_fit_are_refused(bags: Any) -> None:
    tree = model({"pool": {"type": "frame_pool", "pooling": "max"}}).to_dict()
    tree["streams"]["x"]["bags"] = bags
    with pytest.raises(SpecError, match=r"model\.streams\.x\.bags"):
        Spec.from_dict(tree)


def test_bags_need_frames_and_no_dropout_inside() -> None:
    with pytest.raises(SpecError, match="no frames"):
        Spec.from_dict({"inputs": {"x": {"shape": [4]}}, "streams": {"x": {"input": "x", "bags": 2}}})
    with pytest.raises(SpecError, match="can't use its own dropout on bags"):
        model({"attention": {"type": "attention_cluster", "units": 2, "score_dropout": 0.5}}, bags=2)


def test_a_sampling_whose_bags_are_not_the_models_is_refused(tmp_path: Path) -> None:
    inputs = {name: {"frames": 6, "features": width, "dtype": "uint8"} for name, width in WIDTHS.items()}
    pool = {"pool": {"type": "frame_pool", "pooling": "max"}}
    streams = {name: {"input": name, "bags": 2, "layers": pool} for name in WIDTHS}
    trunk = {"logits": {"type": "dense", "units": CLASSES}}
    spec = Spec.from_dict({"inputs": inputs, "streams": streams, "trunk": trunk, "output": "sigmoid"})
    write_shards(tmp_path, [3])
    for frames, bags in ((3, 2), (3, 5), (4, 1)):
        open_youtube8m(tmp_path, "train", reading(frames, bags)).require(spec)
    with pytest.raises(
        DataError, match=r"bags of 4 frames, and rgb.pool reads bags of 3; --set data.reading.sampling.frames=3 fits"
    ):
        open_youtube8m(tmp_path, "train", reading(4, 2)).require(spec)


def reading(frames: int, bags: int) -> Reading:
    return Reading(sampling=Sampling(type="random", frames=frames, replacement=True, bags=bags))


def test_dbof_and_soft_dbof_are_frame_pool_behind_other_layers(source: np.random.Generator) -> None:
    clusters = {"type": "dense", "units": 4, "bias": False}
    relu6 = {"type": "activation", "function": "relu6"}
    x = 4 * source.standard_normal((2, FRAMES, FEATURES))
    spec = model({"clusters": clusters, "relu6": relu6, "pool": {"type": "frame_pool", "pooling": "max"}})
    w = initial_parameters(spec, 1, np.float64)["x.clusters.weight"]
    np.testing.assert_allclose(run(spec, x)["output"], np.clip(x @ w, 0, 6).max(1), rtol=1e-12)
    soft = model(
        {
            "clusters": clusters,
            "softmax": {"type": "softmax"},
            "pool": {"type": "frame_pool", "pooling": "sum", "normalize": True},
        }
    )
    e = np.exp(x @ w)
    a = (e / e.sum(2, keepdims=True)).sum(1)
    np.testing.assert_allclose(run(soft, x)["output"], a / np.linalg.norm(a, axis=1, keepdims=True), rtol=1e-12)
