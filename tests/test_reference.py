"""The reference's formulas against others: written out by hand, from scikit-learn and SciPy, or by their properties."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy import signal, special

from acz import load_spec
from acz.foundation.errors import SpecError
from acz.foundation.settings import validate
from acz.model.layers import LAYERS, Call
from acz.model.losses import LOSSES, find_loss
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.parity.cases import cases
from acz.reference import derivatives, execution
from acz.zoo.recipe import Recipe
from tests.conftest import by_model


def run(
    kind: str, x: np.ndarray, p: dict[str, np.ndarray] | None = None, training: bool = False, **settings: Any
) -> Any:
    layer = LAYERS[kind](type=kind, **settings)
    return layer.reference(x, p or {}, Call(training, path="x"))


def test_attention_cluster_written_out(source: np.random.Generator) -> None:
    x = source.standard_normal((2, 5, 3))
    p = {
        "hidden.weight": source.standard_normal((3, 4)),
        "hidden.bias": source.standard_normal(4),
        "score.weight": source.standard_normal((4, 2)),
        "score.bias": source.standard_normal(2),
        "alpha": source.standard_normal(2),
        "beta": source.standard_normal(2),
    }
    output = run("attention_cluster", x, p, units=2, hidden=4)
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
        np.testing.assert_allclose(output[video], np.concatenate(parts), rtol=1e-12)


def test_convolution_and_pooling_against_scipy(source: np.random.Generator) -> None:
    x, w, b = source.standard_normal((2, 3, 9, 8)), source.standard_normal((4, 3, 3, 3)), source.standard_normal(4)
    output = run("conv2d", x, {"weight": w, "bias": b}, filters=4, size=3)
    for video in range(2):
        for f in range(4):
            want = sum(signal.correlate2d(x[video, c], w[f, c], mode="valid") for c in range(3)) + b[f]
            np.testing.assert_allclose(output[video, f], want, rtol=1e-10)
    pooled = run("max_pool2d", x, size=3)
    assert pooled.shape == (2, 3, 3, 2)
    assert pooled[1, 2, 0, 1] == x[1, 2, :3, 3:6].max()


def test_functions_against_scipy(source: np.random.Generator) -> None:
    x = source.standard_normal((4, 6)) * 5
    np.testing.assert_allclose(run("softmax", x), special.softmax(x, axis=-1), rtol=1e-13)
    np.testing.assert_allclose(run("log_softmax", x), special.log_softmax(x, axis=-1), rtol=1e-13)
    np.testing.assert_allclose(run("activation", x, function="sigmoid"), special.expit(x), rtol=1e-13)
    np.testing.assert_array_equal(run("activation", x, function="relu6"), np.clip(x, 0, 6))
    assert np.isfinite(run("activation", np.array([[-1e4, 1e4]]), function="sigmoid")).all()


def test_mixture_of_experts_written_out(source: np.random.Generator) -> None:
    x, classes, mixtures = source.standard_normal((2, 5)), 3, 2
    p = {
        "gates.weight": source.standard_normal((5, 9)),
        "experts.weight": source.standard_normal((5, 6)),
        "experts.bias": source.standard_normal(6),
    }
    output = run("mixture_of_experts", x, p, classes=classes, mixtures=mixtures)
    for video in range(2):
        for c in range(classes):
            gates = special.softmax([x[video] @ p["gates.weight"][:, 3 * c + m] for m in range(3)])
            at = [2 * c + m for m in range(mixtures)]
            experts = [special.expit(x[video] @ p["experts.weight"][:, n] + p["experts.bias"][n]) for n in at]
            assert output[video, c] == pytest.approx(gates[0] * experts[0] + gates[1] * experts[1], rel=1e-12)


def test_context_gating_written_out(source: np.random.Generator) -> None:
    x, w, b = source.standard_normal((3, 4)), source.standard_normal((4, 4)), source.standard_normal(4)
    np.testing.assert_allclose(
        run("context_gating", x, {"weight": w, "bias": b}), x * special.expit(x @ w + b), rtol=1e-12
    )
    norm = {"weight": 1.5, "bias": 0.3, "running_mean": -0.2, "running_variance": 0.7}
    wide, narrow = source.standard_normal((4, 8)), source.standard_normal((8, 4))
    p = {"hidden.weight": wide, "gate.weight": narrow}
    p |= {f"hidden_norm.{name}": np.full(8, value) for name, value in norm.items()}
    p |= {f"gate_norm.{name}": np.full(4, value) for name, value in norm.items()}

    def normalized(value: np.ndarray) -> np.ndarray:
        return (value + 0.2) / np.sqrt(0.7 + 1e-5) * 1.5 + 0.3

    want = x * special.expit(normalized(normalized(np.maximum(x @ wide, 0)) @ narrow))
    np.testing.assert_allclose(run("deep_context_gating", x, p), want, rtol=1e-12)


def test_what_the_second_batch_norm_takes_away_is_held_fixed() -> None:
    for dropout, role in ((0.0, "fixed"), (0.2, "trained")):
        layer = LAYERS["deep_context_gating"](type="deep_context_gating", dropout=dropout)
        assert layer.parameters((4,))["hidden_norm.bias"].role == role
    for settings, role in (
        ({}, "fixed"),
        ({"score_dropout": 0.3}, "trained"),
        ({"normalize_over": "units"}, "trained"),
    ):
        layer = LAYERS["attention_cluster"](type="attention_cluster", units=2, score_norm={}, **settings)
        assert layer.parameters((5, 4))["score_norm.bias"].role == role


def test_the_average_is_of_valid_frames(source: np.random.Generator) -> None:
    x = source.standard_normal((3, 4, 2))
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    layer = LAYERS["frame_pool"](type="frame_pool", pooling="mean")
    output = layer.reference(np.where(mask[:, :, None], x, 1e6), {}, Call(mask=mask, path="x"))
    np.testing.assert_allclose(output, [x[0].mean(0), (x[1, 0] + x[1, 2]) / 2, [0, 0]], rtol=1e-12)
    np.testing.assert_allclose(run("frame_pool", x, pooling="mean"), x.mean(1), rtol=1e-12)


def test_padding_that_is_rescaled_and_normalised_still_counts_for_nothing(source: np.random.Generator) -> None:
    """A padded byte 0 becomes -1.99 and a vector of length 1: the mask must hold behind both."""
    spec = load_spec("youtube8m/attention_cluster_experts:tiny")
    case = cases("youtube8m/attention_cluster_experts")[0]
    inputs = {
        name: source.integers(0, 256, (3, 5, width), dtype=np.uint8) for name, width in (("rgb", 4), ("audio", 3))
    }
    plain = execution.forward(spec, case.parameters, inputs, training=True)
    longer: dict[str, np.ndarray] = {}
    for name, value in inputs.items():
        longer[name] = np.concatenate([value, np.full((3, 2, value.shape[2]), 77, np.uint8)], axis=1)
        longer[f"{name}.mask"] = np.arange(7) < np.full((3, 1), 5)
    padded = execution.forward(spec, case.parameters, longer, training=True)
    for name, value in plain.items():
        np.testing.assert_allclose(padded[name], value, rtol=1e-9, err_msg=name)


def test_probabilities_are_said_only_of_what_gives_them() -> None:
    tree = {"inputs": {"x": {"shape": [3]}}, "streams": {"x": {"input": "x"}}, "output": "probabilities"}
    dense, experts = {"type": "dense", "units": 3}, {"type": "mixture_of_experts", "classes": 3}
    gating, sigmoid = {"type": "context_gating"}, {"type": "activation", "function": "sigmoid"}
    for layers in ([experts], [experts, gating], [dense, sigmoid], [dense | {"activation": "sigmoid"}, gating]):
        Spec.from_dict(tree | {"trunk": {f"layer{n}": layer for n, layer in enumerate(layers)}})
    for layers in ([], [dense], [gating], [experts, dense], [experts, {"type": "dropout", "rate": 0.5}]):
        with pytest.raises(SpecError, match="for a trunk that ends in logits, type sigmoid or softmax"):
            Spec.from_dict(tree | {"trunk": {f"layer{n}": layer for n, layer in enumerate(layers)}})


def test_batch_norm_statistics(source: np.random.Generator) -> None:
    x = source.standard_normal((8, 5, 3)) * 2 + 1
    layer = LAYERS["batch_norm"](type="batch_norm", epsilon=1e-3, decay=0.9, variance="unbiased")
    p = {
        "weight": np.array([1.0, 2, 3]),
        "bias": np.array([0.0, 1, 2]),
        "running_mean": np.zeros(3),
        "running_variance": np.ones(3),
    }
    call = Call(True, path="x")
    output = layer.reference(x, p, call)
    rows = x.reshape(-1, 3)
    want = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-3) * p["weight"] + p["bias"]
    np.testing.assert_allclose(output, want, rtol=1e-12)
    np.testing.assert_allclose(call.updated["x.running_mean"], 0.1 * rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(call.updated["x.running_variance"], 0.9 + 0.1 * rows.var(0, ddof=1), rtol=1e-12)


def test_padded_frames_enter_no_statistic(source: np.random.Generator) -> None:
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


@pytest.mark.parametrize("case", by_model(cases()))
def test_hostile_inputs_have_a_finite_answer(case: Any) -> None:
    for name in case.names:
        batch = case.batch(name)
        for training in (False, True):
            values = execution.forward(case.spec, case.parameters, batch.inputs, training, True, batch.dropout)
            for path, value in values.items():
                assert np.isfinite(value).all(), (name, path)


@pytest.mark.parametrize("case", by_model([c for c in cases() if "padded" in c.names]))
def test_padded_frames_get_no_weight(case: Any) -> None:
    batch = case.batch("padded")
    recorded = execution.forward(case.spec, case.parameters, batch.inputs, record=True)
    for name, stream in case.spec.streams.items():
        mask = batch.inputs[f"{stream.input}.mask"]
        weights = recorded.get(f"{name}.attention.weights")
        if weights is not None:
            mask = mask.reshape(-1, weights.shape[1])  # of videos, or of their bags
            assert (weights[~mask] == 0).all()
            if case.spec.streams[name].layers["attention"].normalize_over == "frames":
                np.testing.assert_allclose(weights.sum(1)[mask.any(1)], 1.0)


@pytest.mark.parametrize("case", by_model(cases()))
def test_complex_steps_agree_with_central_differences(source: np.random.Generator, case: Any) -> None:
    batch, parameters = case.batch("plain"), case.parameters
    gradients = derivatives.gradient(
        case.spec, parameters, batch.inputs, batch.labels, case.loss, case.spec.trained, batch.dropout
    )
    worst = 0.0
    for path in case.spec.trained:
        direction = source.standard_normal(parameters[path].shape)
        values = [
            derivatives.loss(
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
        worst = max(worst, abs(want - (gradients[path] * direction).sum()) / max(abs(want), 1.0))
    assert worst < 1e-6


def test_a_loss_takes_its_alpha_from_the_recipe() -> None:
    for given in ({"type": "probability_cross_entropy", "alpha": 0.8}, "probability_cross_entropy(alpha=.80)"):
        assert Recipe.model_validate({"loss": given}).loss == "probability_cross_entropy(alpha=0.8)"
    assert Recipe.model_validate({"loss": {"type": "hinge"}}).loss == "hinge"
    assert find_loss("probability_cross_entropy(alpha=0.8)").name == "probability_cross_entropy(alpha=0.8)"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "hinge", "alpha": 0.8}, "probability_cross_entropy takes an alpha, hinge does not"),
        ({"type": "probability_cross_entropy", "alpha": 1.5}, "alpha must be a number of 0 .. 1, got 1.5"),
        ({"type": "probability_cross_entropy", "alpha": "much"}, "alpha must be a number of 0 .. 1, got much"),
        ({"type": "probability_cross_entropy", "alpha": float("nan")}, "alpha must be a number of 0 .. 1, got nan"),
        ({"type": "hinged", "alpha": 0.8}, "hinged does not"),
        ({"type": "hinged"}, "must be the name of a loss; did you mean 'hinge'"),
        ({"type": "hinge", "beta": 1}, "valid string"),
        ("projection", "must be the name of a loss"),
    ],
)
def test_a_loss_that_is_not_possible_is_refused(given: object, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        validate(Recipe, {"loss": given}, "train")


def test_losses(source: np.random.Generator) -> None:
    logits, labels = source.standard_normal((4, 5)), np.array([0, 4, 2, 2])
    want = -np.log(special.softmax(logits, 1)[np.arange(4), labels]).mean()
    assert LOSSES["softmax_cross_entropy"].reference(logits, logits, labels) == pytest.approx(want)
    many = (source.random((4, 5)) < 0.5).astype(float)
    p = special.expit(logits)
    want = -(many * np.log(p) + (1 - many) * np.log(1 - p)).sum(1).mean()
    assert LOSSES["sigmoid_cross_entropy"].reference(logits, p, many) == pytest.approx(want)
    shares = many / np.maximum(many.sum(1, keepdims=True), 1)
    want = -(shares * special.log_softmax(logits, 1)).sum(1).mean()
    assert LOSSES["multilabel_softmax_cross_entropy"].reference(logits, logits, many) == pytest.approx(want)
    want = -(many * np.log(p + 1e-5) + (1 - many) * np.log(1 - p + 1e-5)).sum(1).mean()
    assert LOSSES["probability_cross_entropy"].reference(logits, p, many) == pytest.approx(want)
    want = -2 * (0.8 * many * np.log(p + 1e-5) + 0.2 * (1 - many) * np.log(1 - p + 1e-5)).sum(1).mean()
    assert LOSSES["probability_cross_entropy(alpha=0.8)"].reference(logits, p, many) == pytest.approx(want)
    assert LOSSES["hinge"].reference(logits, p, many) == pytest.approx(np.where(many, 1 - p, 1 + p).sum(1).mean())
    none = np.zeros((4, 5))
    assert LOSSES["multilabel_softmax_cross_entropy"].reference(logits, p, none) == 0
    certain = np.array([[1.0, 0.0]])
    assert LOSSES["probability_cross_entropy"].reference(certain, certain, 1 - certain) == pytest.approx(
        -2 * np.log(1e-5), rel=1e-5
    )
    assert -3e-5 < LOSSES["probability_cross_entropy"].reference(certain, certain, certain) < 0
    huge = np.array([[1e4, -1e4]])
    assert LOSSES["sigmoid_cross_entropy"].reference(huge, huge, np.array([[1.0, 0.0]])) == 0
    assert LOSSES["softmax_cross_entropy"].reference(huge, huge, np.array([1])) == pytest.approx(2e4)


def test_wrong_inputs_and_parameters_are_named() -> None:
    case = cases("flash_mnist/multimodal")[0]
    parameters, inputs = case.parameters, case.batch("plain").inputs
    with pytest.raises(SpecError, match="did you mean 'audio'"):
        execution.forward(case.spec, parameters, {**inputs, "adio": inputs["audio"]})
    with pytest.raises(SpecError, match=r"input 'audio' must have the shape \(videos, 4, 2\), got \(4, 4, 1\)"):
        execution.forward(case.spec, parameters, {**inputs, "audio": inputs["audio"][:, :, :1]})
    with pytest.raises(SpecError, match=r"'trunk.logits.bias' must have the shape \(5,\), got \(4,\)"):
        execution.forward(case.spec, {**parameters, "trunk.logits.bias": np.zeros(4)}, inputs)


def test_parameters_start_the_same_everywhere() -> None:
    spec = Spec.from_dict(
        {
            "inputs": {"x": {"shape": [3]}},
            "streams": {"x": {"input": "x", "layers": {"a": {"type": "dense", "units": 2}}}},
            "output": "none",
        }
    )
    parameters = initial_parameters(spec, 7)
    np.testing.assert_allclose(parameters["x.a.bias"], np.array([-0.26561484, 0.02173295], np.float32), rtol=1e-6)
    assert not np.array_equal(parameters["x.a.bias"], initial_parameters(spec, 8)["x.a.bias"])
