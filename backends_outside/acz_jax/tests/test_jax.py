"""JAX beside the reference, and what its users do with a model. These tests run in an environment with JAX: scripts/test.sh."""

from __future__ import annotations

import re
from pathlib import Path

import acz_jax.backend
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acz_jax.base import at_least, largest
from acz_jax.model import Model

import acz
from acz.backend.signature import metadata
from acz.parity.cases import cases

SILENT = acz.Progress()
SMALL = "flash_mnist/attention_cluster:tiny"
EXPERTS = "youtube8m/attention_cluster_experts:tiny"


PAGE = Path(__file__).parents[3] / "docs/training/jax.md"


def features(model: Model, videos: int = 3, frames: int = 5) -> np.ndarray:
    width = model.spec.inputs["features"].features
    return np.random.default_rng(0).standard_normal((videos, frames, width)).astype(np.float32)


LAYERS = ("layers/[a-b]*", "layers/c*", "layers/[d-m]*", "layers/[n-z]*")


@pytest.mark.parametrize("pattern", LAYERS)
def test_layers_have_the_references_outputs_and_steps(pattern: str) -> None:
    """Fifty steps in float64 need every gradient. Level 2, which XLA compiles longest, is left to `acz parity-check`."""
    report = acz.check_parity(pattern, backends=["jax"], levels=[1, 3], progress=SILENT)
    assert report.passed, "\n".join(report.failures)


def test_no_layer_is_left_out() -> None:
    assert sum(len(cases(pattern)) for pattern in LAYERS) == len(cases("layers/*"))


def test_a_model_passes_every_level() -> None:
    levels = [1, 2, 3, 4, 5]
    report = acz.check_parity("youtube8m/attention_cluster_experts", backends=["jax"], levels=levels, progress=SILENT)
    assert report.passed, "\n".join(report.failures)
    assert {row.level for row in report.rows} == set(levels)


def test_a_mistake_is_found() -> None:
    report = acz.check_parity(
        "flash_mnist/attention_cluster", backends=["jax"], levels=[1], mutant="transposed_weight", progress=SILENT
    )
    assert not report.passed


def test_every_promise_is_kept() -> None:
    report = acz.check_backend("jax", progress=SILENT)
    assert report.passed, "\n".join(report.failures)


def test_a_model_is_a_pytree_that_jax_compiles_and_differentiates() -> None:
    model = acz.build(EXPERTS, "jax")
    inputs = {name: np.ones((2, 4, entry.features), np.uint8) for name, entry in model.spec.inputs.items()}
    np.testing.assert_allclose(jax.jit(lambda m, x: m(x))(model, inputs), model(inputs), rtol=1e-5)
    gradient = jax.grad(lambda m: m(inputs, training=True, key=jax.random.key(0)).sum())(model)
    assert set(gradient.parameters) == set(model.spec.parameters)
    moved = {path for path, value in gradient.parameters.items() if np.any(value)}
    assert moved, "some gradient"
    assert moved <= set(model.spec.trained)


def test_apply_gives_the_new_statistics_and_changes_nothing() -> None:
    model = acz.build(EXPERTS, "jax")
    before = acz_jax.backend.dump_parameters(model)
    inputs = {name: np.ones((2, 4, entry.features), np.uint8) for name, entry in model.spec.inputs.items()}
    _, statistics = model.apply(inputs, training=True, key=jax.random.key(0))
    assert set(statistics) == set(model.spec.statistics)
    for path, value in acz_jax.backend.dump_parameters(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_dropout_of_jax_needs_a_key() -> None:
    model = acz.build(SMALL, "jax")
    assert any(placed.layer.type == "dropout" for placed in model.spec.layout)
    with pytest.raises(TypeError, match=r"jax\.random\.key"):
        model(features(model), training=True)


def test_the_gradient_of_a_maximum_is_whole_where_xla_computes_its_argument_twice() -> None:
    """A gradient that compares x with its maximum loses some, where the two come from different fusions."""

    def total(x: jax.Array) -> jax.Array:
        return largest(jnp.tanh(x * 1.37 + 0.11) * x).sum()

    gradient = jax.jit(jax.grad(total))
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((8, 6, 16)).astype(np.float32)
        assert np.count_nonzero(gradient(x)) == 8 * 16, seed


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_batch_norm_of_equal_rows_is_its_bias_where_xla_could_compute_them_twice(precision: str) -> None:
    """A mean of rows with other roundings is not the rows' mean, and the division magnifies the difference."""
    [case] = cases("layers/nextvlad")
    model = acz_jax.backend.build(case.spec, "CPU", precision)
    acz_jax.backend.load_parameters(model, {path: value.astype(precision) for path, value in case.parameters.items()})
    inputs = {name: value.astype(precision) for name, value in case.batch("zeros").inputs.items()}
    values = acz_jax.backend.forward(model, inputs, training=True, record=["published.norm"])["published.norm"]
    bias = acz_jax.backend.dump_parameters(model)["published.norm.bias"]
    np.testing.assert_array_equal(values, np.broadcast_to(bias, values.shape))


def test_a_bound_from_below_has_a_gradient_of_0_or_1() -> None:
    np.testing.assert_array_equal(jax.grad(lambda x: at_least(x, 1.0).sum())(jnp.array([0.5, 1.0, 2.0])), [0, 0, 1])


def test_two_precisions_live_in_one_process() -> None:
    low, high = (acz.build(SMALL, "jax", precision=precision) for precision in ("float32", "float64"))
    for model, kind in ((low, "float32"), (high, "float64"), (low, "float32")):
        values = acz_jax.backend.forward(model, {"features": features(model)})
        assert values["output"].dtype == kind
    assert not jax.config.jax_enable_x64


def test_an_artefact_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    model = acz.build(SMALL, "jax")
    path = tmp_path / "model.stablehlo"
    acz_jax.backend.export(model, path, metadata(model.spec))
    content = path.read_bytes()
    assert not re.search(rb"\.py|/acz_jax|pytest", content)
    whole = jax.export.deserialize(bytearray(content))  # as a user who has no acz
    x = features(model, videos=2, frames=7)
    output = whole.call(features=x, features_mask=np.ones((2, 7), bool))["output"]
    np.testing.assert_allclose(output, model(x), rtol=1e-5)


def test_another_number_of_threads_needs_another_process() -> None:
    acz_jax.backend.set_threads(1)
    acz_jax.backend.set_threads(1)
    with pytest.raises(acz.MissingError, match="another process"):
        acz_jax.backend.set_threads(2)


def test_the_page_of_training_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    model = acz.build("flash_mnist/attention_cluster", "jax")
    acz_jax.backend.export(model, tmp_path / "model.stablehlo", metadata(model.spec))
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
