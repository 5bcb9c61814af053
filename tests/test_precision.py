"""Low precisions: the rounding, the sweep of the reference, its definition of a product, and who has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from acz.api.parity import check_parity
from acz.backend.registry import find_backend
from acz.foundation.errors import CheckFailed, SpecError
from acz.foundation.progress import Progress
from acz.model.loss_scale import INTERVAL, SMALLEST, LossScale
from acz.model.optimizer import Adam
from acz.model.precision import Precision, find_precision
from acz.parity.cases import cases
from acz.parity.mutants.precisions import PRECISION_MUTANTS
from acz.parity.report import all_passed, summarise, to_json
from acz.parity.row import MOST_BOUND, Row
from acz.reference import derivatives
from acz.reference.products import Products
from acz.reference.samples import Case
from acz.reference.traced import Traced, sweep
from tests.conftest import Answer

LAYERS = cases("layers/*") + cases("flash_mnist/extractor")


def numbers(kind: type) -> np.ndarray:
    source = np.random.default_rng(0)
    drawn = source.standard_normal(20_000) * 10.0 ** source.integers(-9, 6, 20_000)
    middles = 1 + np.arange(64) * 2.0**-12  # on and beside the middles of neighbours
    return np.concatenate([drawn, middles, -middles, [0.0, 65504.0, 65519.0, 65520.0, 7e4, np.inf, np.nan]]).astype(
        kind
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_rounding_is_that_of_other_libraries(kind: type) -> None:
    x = numbers(kind)
    with np.errstate(over="ignore"):
        half, brain = x.astype(np.float16).astype(kind), x.astype(ml_dtypes.bfloat16).astype(kind)
    np.testing.assert_array_equal(Precision.FLOAT16.round(x), half)
    if kind is np.float32:  # from float64 ml_dtypes rounds twice
        np.testing.assert_array_equal(Precision.BFLOAT16.round(x), brain)
    assert Precision.FLOAT32.round(x) is x


def test_tf32_keeps_ten_digits_after_the_point() -> None:
    x = np.array([1 + 2.0**-10, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-11 + 2.0**-20, 1e38], np.float32)
    expected = np.array([1 + 2.0**-10, 1.0, 1 + 2.0**-9, 1 + 2.0**-10], np.float32)
    rounded = Precision.TF32.round(x)
    np.testing.assert_array_equal(rounded[:4], expected)
    assert (rounded.view(np.uint32) & 0x1FFF == 0).all()


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.model)
def test_the_sweep_gives_what_complex_steps_give(case: Case) -> None:
    batch = case.batch("padded" if "padded" in case.names else "plain", videos=2)
    if case.model == "flash_mnist/extractor":
        paths = [path for path in case.spec.trained if path.endswith("bias")]  # of its weights there are thousands
    else:
        paths = [*case.spec.trained, *(name for name, value in batch.inputs.items() if value.dtype.kind == "f")]
    given = case.spec, case.parameters, batch.inputs, batch.labels, case.loss, paths, batch.dropout
    exact = derivatives.gradient(*given)
    loss, swept = derivatives.swept_gradient(*given)
    assert loss == pytest.approx(derivatives.loss(*given[:5], batch.dropout), rel=1e-14)
    largest = max(np.abs(value).max() for value in exact.values())
    for path, value in exact.items():
        np.testing.assert_allclose(swept[path], value, rtol=0, atol=1e-12 * largest)


def test_a_product_rounds_its_operands_and_what_comes_back(source: np.random.Generator) -> None:
    low = Precision.BFLOAT16
    x, w, g = source.standard_normal((3, 4)), source.standard_normal((4, 5)), source.standard_normal((3, 5))
    a, b = Traced(x), Traced(w)
    z = Products(low)("layer", a, b)
    np.testing.assert_array_equal(z.value, low.round(x) @ low.round(w))
    of_x, of_w = sweep((z * g).sum(), [a, b])
    np.testing.assert_allclose(of_x, low.round(g) @ low.round(w).T, rtol=1e-15)
    np.testing.assert_allclose(of_w, low.round(x).T @ low.round(g), rtol=1e-15)


def test_the_reference_in_float32_keeps_the_bounds() -> None:
    report = check_parity(
        "layers/netvlad", backends=["numpy"], levels=[1, 2], precisions=["tf32", "float16"], progress=Progress()
    )
    assert report.passed, report.failures
    assert {row.precision for row in report.rows} == {"tf32", "float16"}
    assert [title for title in report.summary()[0] if "e-" in title], "each precision has figures"


def test_a_bound_that_says_nothing_neither_passes_nor_fails() -> None:
    inside = Row("layers/net_fv", "numpy", 2, "gradients", "float16", measured=0.1, bound=MOST_BOUND * 2)
    outside, tight = replace(inside, measured=2.0), replace(inside, bound=MOST_BOUND)
    assert [(row.passed, row.failed) for row in (inside, outside, tight)] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    assert not all_passed([inside]), "a report of such rows alone proves nothing"
    assert all_passed([inside, tight])
    assert to_json([inside], [])["checks"][0]["passed"] is None
    assert summarise([inside], [Precision.FLOAT16])[0][-1] == "not bounded"


def test_gradients_without_a_bound_are_counted_apart() -> None:
    report = check_parity("layers/net_fv", backends=["numpy"], levels=[2], precisions=["float16"], progress=Progress())
    [loose] = [row for row in report.rows if row.not_bounded]
    [kept] = [row for row in report.rows if row.passed]
    assert (loose.check, kept.check) == ("gradients, not bounded", "gradients")
    assert kept.bound <= MOST_BOUND < loose.bound
    assert str(report).endswith(
        "1 of 1 checks passed, 1 backends\n1 more have a bound that says nothing, and count as neither"
    )


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SpecError, match="did you mean 'bfloat16'"):
        find_precision("bfloat")


def test_levels_without_low_precisions_are_refused(acz: Callable[..., Answer]) -> None:
    answer = acz("parity-check", "layers/moments", "--backends", "numpy", "--precision", "bfloat16", "--level", "4")
    assert answer.code == 2
    assert "leave out level 4" in answer.err


@pytest.mark.parametrize(
    ("mutant", "model", "precision", "level", "where"),
    [
        ("softmax_in_low_precision", "flash_mnist/attention_cluster", "bfloat16", 1, "output"),
        ("statistics_in_low_precision", "layers/batch_norm", "bfloat16", 1, "updated.first.norm.running_mean"),
        ("master_weight_in_low_precision", "layers/batch_norm", "bfloat16", 3, ""),
        ("clipped_before_unscaling", "layers/batch_norm", "float16", 3, ""),
    ],
)
@pytest.mark.slow
def test_a_mistake_in_a_low_precision_is_caught(
    mutant: str, model: str, precision: str, level: int, where: str
) -> None:
    report = check_parity(
        model, backends=["numpy"], levels=[level], precisions=[precision], mutant=mutant, progress=Progress()
    )
    wrong = [row for row in report.rows if not row.passed]
    assert wrong, f"{mutant} went unnoticed"
    assert any(row.where.endswith(where) for row in wrong), [(row.check, row.where) for row in wrong]
    assert not [row for row in wrong if row.problem], "caught by its numbers, not by a crash"


def test_every_mutant_of_precisions_is_tested() -> None:
    marks = test_a_mistake_in_a_low_precision_is_caught.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[-1].args[1]} == set(PRECISION_MUTANTS)


def test_the_scale_of_the_loss_halves_and_doubles_by_one_rule() -> None:
    scale = LossScale(2.0**10, INTERVAL - 2)
    trace = []
    for finite in (True, True, False, False, True):
        scale.update(finite)
        trace.append((scale.scale, scale.growth))
    assert trace == [(2.0**10, INTERVAL - 1), (2.0**11, 0), (2.0**10, 0), (2.0**9, 0), (2.0**9, 1)]
    again = LossScale()
    again.load(scale.dump())
    assert again == scale
    again.load({})
    assert again == LossScale(), "the state of a training in another precision has none"
    smallest = LossScale(SMALLEST)
    with pytest.raises(CheckFailed, match="--precision bfloat16"):
        smallest.update(False)


def test_a_step_with_infinite_gradients_changes_nothing() -> None:
    [case] = cases("layers/batch_norm")
    batch, backend = case.batch("plain"), find_backend("numpy")
    model = backend.build(case.spec, "CPU", "float16")
    start = {path: value.astype(np.float32) for path, value in case.parameters.items()}
    backend.load_parameters(model, start)
    trainer = backend.start_training(model, Adam(), case.loss)
    backend.load_optimizer(trainer, {**backend.dump_optimizer(trainer), **LossScale(2.0**60).dump()})
    with np.errstate(all="ignore"):
        loss, _ = backend.training_step(trainer, batch.inputs, batch.labels, batch.dropout, 1e-3)
    assert np.isfinite(float(loss))
    after, state = backend.dump_parameters(model), backend.dump_optimizer(trainer)
    assert all(np.array_equal(after[path], value) for path, value in start.items())
    assert not any(value.any() for name, value in state.items() if name not in ("scale", "growth"))
    assert (float(state["scale"]), int(state["growth"])) == (2.0**59, 0)
