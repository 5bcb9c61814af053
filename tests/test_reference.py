"""The reference's formulas against others: written out by hand, from scikit-learn and SciPy, or by their properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal, special

from acz import reference
from acz.layers import LAYERS, Call
from acz.losses import reference_loss
from acz.parity.cases import cases
from acz.spec import Spec

source = np.random.default_rng(0)


def run(
    kind: str, x: np.ndarray, p: dict[str, np.ndarray] | None = None, training: bool = False, **settings: Any
) -> Any:
    layer = LAYERS[kind](type=kind, **settings)
    return layer.reference(x, p or {}, Call(training, path="x"))


def test_attention_cluster_written_out() -> None:
    x = source.standard_normal((2, 5, 3))
    p = {
        "hidden.weight": source.standard_normal((3, 4)),
        "hidden.bias": source.standard_normal(4),
        "score.weight": source.standard_normal((4, 2)),
        "score.bias": source.standard_normal(2),
        "alpha": source.standard_normal(2),
        "beta": source.standard_normal(2),
    }
    found = run("attention_cluster", x, p, units=2, hidden=4)
    for video in range(2):
        parts = []
        for unit in range(2):
            scores = [
                np.tanh(frame @ p["hidden.weight"] + p["hidden.bias"]) @ p["score.weight"][:, unit]
                + p["score.bias"][unit]
                for frame in x[video]
            ]
            weights = np.exp(scores) / np.exp(scores).sum()
            v = sum(weight * frame for weight, frame in zip(weights, x[video], strict=True))
            u = p["alpha"][unit] * v + p["beta"][unit]
            parts.append(u / np.linalg.norm(u) / np.sqrt(2))
        np.testing.assert_allclose(found[video], np.concatenate(parts), rtol=1e-12)


def test_convolution_and_pooling_against_scipy() -> None:
    x, w, b = source.standard_normal((2, 3, 9, 8)), source.standard_normal((4, 3, 3, 3)), source.standard_normal(4)
    found = run("conv2d", x, {"weight": w, "bias": b}, filters=4, size=3)
    for video in range(2):
        for f in range(4):
            want = sum(signal.correlate2d(x[video, c], w[f, c], mode="valid") for c in range(3)) + b[f]
            np.testing.assert_allclose(found[video, f], want, rtol=1e-10)
    pooled = run("max_pool2d", x, size=3)
    assert pooled.shape == (2, 3, 3, 2)
    assert pooled[1, 2, 0, 1] == x[1, 2, :3, 3:6].max()


def test_functions_against_scipy() -> None:
    x = source.standard_normal((4, 6)) * 5
    np.testing.assert_allclose(run("softmax", x), special.softmax(x, axis=-1), rtol=1e-13)
    np.testing.assert_allclose(run("log_softmax", x), special.log_softmax(x, axis=-1), rtol=1e-13)
    np.testing.assert_allclose(run("activation", x, function="sigmoid"), special.expit(x), rtol=1e-13)
    np.testing.assert_array_equal(run("activation", x, function="relu6"), np.clip(x, 0, 6))
    assert np.isfinite(run("activation", np.array([[-1e4, 1e4]]), function="sigmoid")).all()


def test_batch_norm_statistics() -> None:
    x = source.standard_normal((8, 5, 3)) * 2 + 1
    layer = LAYERS["batch_norm"](type="batch_norm", epsilon=1e-3, decay=0.9, variance="unbiased")
    p = {
        "weight": np.array([1.0, 2, 3]),
        "bias": np.array([0.0, 1, 2]),
        "running_mean": np.zeros(3),
        "running_variance": np.ones(3),
    }
    call = Call(True, path="x")
    found = layer.reference(x, p, call)
    rows = x.reshape(-1, 3)
    want = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-3) * p["weight"] + p["bias"]
    np.testing.assert_allclose(found, want, rtol=1e-12)
    np.testing.assert_allclose(call.updated["x.running_mean"], 0.1 * rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(call.updated["x.running_variance"], 0.9 + 0.1 * rows.var(0, ddof=1), rtol=1e-12)


def test_padded_frames_enter_no_statistic() -> None:
    x = source.standard_normal((2, 4, 3))
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], dtype=bool)
    layer = LAYERS["batch_norm"](type="batch_norm")
    p = {name: np.ones(3) for name in layer.parameters((4, 3))}
    call = Call(True, mask=mask, path="x")
    layer.reference(np.where(mask[:, :, None], x, 1e9), p, call)
    np.testing.assert_allclose(call.updated["x.running_mean"], 0.9 + 0.1 * x[mask].mean(0), rtol=1e-12)


def test_dropout_scales_what_it_keeps_and_only_in_training() -> None:
    x = np.ones((2, 4))
    mask = np.array([[1, 0, 1, 1], [0, 0, 1, 1]], dtype=np.uint8)
    layer = LAYERS["dropout"](type="dropout", rate=0.2)
    np.testing.assert_allclose(layer.reference(x, {}, Call(True, {"x": mask}, path="x")), mask * 1.25)
    np.testing.assert_array_equal(layer.reference(x, {}, Call(False, {"x": mask}, path="x")), x)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.model)
def test_hostile_inputs_have_a_finite_answer(case: Any) -> None:
    for name in case.names:
        batch = case.batch(name)
        for training in (False, True):
            found = reference.forward(case.spec, case.parameters, batch.inputs, training, True, batch.dropout)
            for path, value in found.items():
                assert np.isfinite(value).all(), (name, path)


@pytest.mark.parametrize("case", [c for c in cases() if "padded" in c.names], ids=lambda case: case.model)
def test_padded_frames_get_no_weight(case: Any) -> None:
    batch = case.batch("padded")
    found = reference.forward(case.spec, case.parameters, batch.inputs, record=True)
    for name, stream in case.spec.streams.items():
        mask = batch.inputs[f"{stream.input}.mask"]
        weights = found.get(f"{name}.attention.weights")
        if weights is not None:
            assert (weights[~mask] == 0).all()
            if case.spec.streams[name].layers["attention"].normalize_over == "frames":
                np.testing.assert_allclose(weights.sum(1)[mask.any(1)], 1.0)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.model)
def test_complex_steps_agree_with_central_differences(case: Any) -> None:
    batch, parameters = case.batch("plain"), case.parameters
    found = reference.gradient(
        case.spec, parameters, batch.inputs, batch.labels, case.loss, case.spec.trained, batch.dropout
    )
    worst = 0.0
    for path in case.spec.trained:
        direction = source.standard_normal(parameters[path].shape)
        values = [
            reference.loss(
                case.spec,
                {**parameters, path: parameters[path] + sign * 1e-6 * direction},
                batch.inputs,
                batch.labels,
                case.loss,
                batch.dropout,
            )
            for sign in (1, -1)
        ]
        want = (values[0] - values[1]) / 2e-6
        worst = max(worst, abs(want - (found[path] * direction).sum()) / max(abs(want), 1.0))
    assert worst < 1e-6


def test_losses() -> None:
    logits, labels = source.standard_normal((4, 5)), np.array([0, 4, 2, 2])
    want = -np.log(special.softmax(logits, 1)[np.arange(4), labels]).mean()
    assert reference_loss("softmax_cross_entropy", logits, logits, labels) == pytest.approx(want)
    many = (source.random((4, 5)) < 0.5).astype(float)
    p = special.expit(logits)
    want = -(many * np.log(p) + (1 - many) * np.log(1 - p)).sum(1).mean()
    assert reference_loss("sigmoid_cross_entropy", logits, p, many) == pytest.approx(want)
    huge = np.array([[1e4, -1e4]])
    assert reference_loss("sigmoid_cross_entropy", huge, huge, np.array([[1.0, 0.0]])) == 0
    assert reference_loss("softmax_cross_entropy", huge, huge, np.array([1])) == pytest.approx(2e4)


def test_wrong_inputs_and_parameters_are_named() -> None:
    case = cases("flash_mnist/multimodal")[0]
    parameters, inputs = case.parameters, case.batch("plain").inputs
    with pytest.raises(Exception, match="did you mean 'audio'"):
        reference.forward(case.spec, parameters, {**inputs, "adio": inputs["audio"]})
    with pytest.raises(Exception, match=r"input 'audio' must have the shape \(videos, 4, 2\), got \(4, 4, 1\)"):
        reference.forward(case.spec, parameters, {**inputs, "audio": inputs["audio"][:, :, :1]})
    with pytest.raises(Exception, match=r"'trunk.logits.bias' must have the shape \(5,\), got \(4,\)"):
        reference.forward(case.spec, {**parameters, "trunk.logits.bias": np.zeros(4)}, inputs)


def test_parameters_start_the_same_everywhere() -> None:
    spec = Spec.from_dict(
        {
            "inputs": {"x": {"shape": [3]}},
            "streams": {"x": {"input": "x", "layers": {"a": {"type": "dense", "units": 2}}}},
            "output": "none",
        }
    )
    found = reference.initial_parameters(spec, 7)
    np.testing.assert_allclose(found["x.a.bias"], np.array([-0.26561484, 0.02173295], np.float32), rtol=1e-6)
    assert not np.array_equal(found["x.a.bias"], reference.initial_parameters(spec, 8)["x.a.bias"])
