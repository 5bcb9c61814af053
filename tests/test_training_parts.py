"""Schedules, Adam, masks, shuffles, metrics."""

from __future__ import annotations

import numpy as np
import pytest

from acz.evaluation.metrics import NOTHING, Accuracy, top_classes
from acz.foundation.errors import SpecError
from acz.foundation.randomness import generator, keep_mask
from acz.model.optimizer import Adam
from acz.zoo.config import load_config
from acz.zoo.recipe import Schedule


def test_keyed_generators_are_stable() -> None:
    assert generator(0, "a").integers(0, 1000, 3).tolist() == generator(0, "a").integers(0, 1000, 3).tolist()
    assert generator(0, "a").random() != generator(0, "b").random()
    assert generator(1, "a").random() != generator(0, "a").random()


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.8])
def test_masks_drop_at_their_rate(rate: float) -> None:
    mask = keep_mask(generator(0, "mask"), (1000, 1001), rate)
    assert mask.shape == (1000, 1001)
    assert set(np.unique(mask)) == {0, 1}
    assert abs(1 - mask.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / mask.size)


def test_schedules() -> None:
    assert Schedule().rate(7, 10, 64) == 1.0
    cosine = Schedule(type="warmup_cosine", warmup=0.1)
    rates = [cosine.rate(step, 100, 64) for step in range(100)]
    assert rates[0] < rates[9] <= rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3
    cycle = [Schedule(type="one_cycle").rate(step, 100, 64) for step in range(100)]
    assert cycle[0] == pytest.approx(1 / 25)
    assert max(cycle) == cycle[29] == pytest.approx(1.0)
    assert cycle[-1] == pytest.approx(1 / 250_000)
    stairs = Schedule(type="exponential", factor=0.5, examples=128)
    assert [stairs.rate(step, 9, 64) for step in range(5)] == [1, 1, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_written_out(decoupled: bool) -> None:
    adam = Adam(learning_rate=0.1, weight_decay=0.2, decoupled=decoupled, epsilon=1e-3)
    w, m, v = 1.5, 0.0, 0.0
    parameters, state = {"w": np.array([w])}, {}
    for step, g in enumerate([0.3, -0.7, 0.1], 1):
        adam.reference_step(parameters, {"w": np.array([g])}, state, step, 0.1)
        if decoupled:
            w *= 1 - 0.1 * 0.2
        else:
            g += 0.2 * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= 0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-3)
        outside = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + adam.outside_epsilon(step))
        assert outside == pytest.approx(0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-3))
    assert parameters["w"][0] == pytest.approx(w)


def test_penalty_and_clipping_written_out() -> None:
    parameters = {"a.weight": np.array([3.0, -4.0]), "a.bias": np.array([1.0]), "b.weight": np.array([2.0])}
    gradients = {"a.weight": np.array([0.3, 0.4]), "a.bias": np.array([0.0]), "b.weight": np.array([-1.2])}
    adam = Adam(l2_penalty={"a.*": 0.1, "*.weight": 0.5})
    penalized = adam.prepared(parameters, gradients)
    np.testing.assert_allclose(penalized["a.weight"], [0.3 + 0.6 * 3, 0.4 - 0.6 * 4])
    np.testing.assert_allclose(penalized["a.bias"], [0.1])
    np.testing.assert_allclose(penalized["b.weight"], [-1.2 + 0.5 * 2])
    each = Adam(clip_norm=0.25).prepared(parameters, gradients)
    np.testing.assert_allclose(each["a.weight"], [0.15, 0.2])
    np.testing.assert_allclose(each["b.weight"], [-0.25])
    assert each["a.bias"] == 0
    together = Adam(clip_global_norm=0.65).prepared(parameters, gradients)
    np.testing.assert_allclose(together["a.weight"], [0.15, 0.2])  # the norm of all is 1.3
    np.testing.assert_allclose(together["b.weight"], [-0.6])
    for loose in (Adam(clip_norm=1.2), Adam(clip_global_norm=1.4)):
        assert all((value == gradients[path]).all() for path, value in loose.prepared(parameters, gradients).items())


def test_a_penalty_is_the_gradient_of_half_the_squares() -> None:
    w, h = np.array([0.7, -1.1]), 1e-6
    gradient = Adam(l2_penalty={"w": 0.3}).prepared({"w": w}, {"w": np.zeros(2)})["w"]
    for index in range(2):
        ends = [0.3 * ((w + sign * h * (np.arange(2) == index)) ** 2).sum() / 2 for sign in (1, -1)]
        assert gradient[index] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6)


def test_a_recipe_that_does_not_fit_its_model_is_refused() -> None:
    name = "youtube8m/attention_cluster_experts:tiny"
    with pytest.raises(SpecError, match=r"'trunk.expert.\*' matches no trained parameter"):
        load_config(name, {"train.optimizer.l2_penalty": {"trunk.expert.*": 1e-6}})
    with pytest.raises(
        SpecError, match=r"sigmoid_cross_entropy needs model\.output to be none or sigmoid, got probabilities"
    ):
        load_config(name, {"train.loss": "sigmoid_cross_entropy"})
    for wrong in ({"clip_norm": 0}, {"clip_global_norm": -1}, {"l2_penalty": {"*": -1e-3}}):
        with pytest.raises(SpecError, match=r"train\.optimizer"):
            load_config(name, {"train.optimizer": wrong})
    assert load_config(name, {"train.loss": "hinge"}).recipe.loss == "hinge"


def test_the_published_rates() -> None:
    schedule = load_config("youtube8m/attention_cluster_experts").recipe.schedule
    last, after = 2_000_000 // 128 - 1, 2_000_000 // 128
    assert [schedule.rate(step, 400_000, 128) for step in (0, last, after, 2 * after)] == [1, 1, 0.85, 0.85**2]


def test_a_hit_is_a_predicted_class_among_the_labels() -> None:
    accuracy = Accuracy()
    accuracy.update(np.array([[2, 1], [0, 3], [NOTHING, 3]]), np.array([1, 0, 3]))
    many = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]])
    accuracy.update(np.array([[0, 1, 2], [0, 1, 2], [NOTHING, 0, 1]]), many)
    assert accuracy.result() == {"top1": 1 / 6, "top5": 5 / 6, "examples": 6}


def test_accuracy_does_not_depend_on_the_batches() -> None:
    source = np.random.default_rng(0)
    scores, labels = source.standard_normal((100, 9)), source.integers(0, 9, 100)
    best, losses = top_classes(scores, 5)[0], source.random(100)
    whole, parts = Accuracy(), Accuracy()
    whole.update(best, labels, losses.mean())
    for start in range(0, 100, 7):
        part = slice(start, start + 7)
        parts.update(best[part], labels[part], losses[part].mean())
    assert parts.result() == pytest.approx(whole.result())
    assert whole.result()["loss"] == pytest.approx(losses.mean())
    assert whole.result()["top1"] == pytest.approx((scores.argmax(1) == labels).mean())
    assert whole.result()["top5"] == pytest.approx((np.argsort(-scores)[:, :5] == labels[:, None]).any(1).mean())
