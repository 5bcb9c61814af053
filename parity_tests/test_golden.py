"""Numbers recorded by running the original systems, reproduced by the reference and by every backend."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from acz.backend.worker import Worker
from acz.model.losses import LOSSES
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.parity import jobs
from parity_tests import golden_cases
from parity_tests.conftest import BACKENDS

pytestmark = pytest.mark.slow

EXACT = 1e-11
"""Relative: the reference in float64 beside the originals' own float64, where they could be run in it."""


def _close(value: np.ndarray, recorded: np.ndarray, tolerance: dict[str, float], what: str) -> None:
    assert value.shape == recorded.shape, what
    assert np.isfinite(value).all(), f"{what}: not finite"
    known = np.isfinite(recorded)  # the originals give NaN for a zero vector; ours is finite there
    np.testing.assert_allclose(
        value[known], recorded[known], rtol=tolerance["rtol"], atol=tolerance["atol"], err_msg=what
    )


@pytest.fixture(scope="module")
def recorded() -> dict[str, golden_cases.Golden]:
    return {name: golden_cases.load(name) for name in golden_cases.names()}


@pytest.mark.parametrize("backend", ["numpy", *BACKENDS])
@pytest.mark.parametrize("name", golden_cases.names())
def test_reproduces_the_original(
    name: str, backend: str, worker: Callable[[str], Worker], recorded: dict[str, golden_cases.Golden]
) -> None:
    golden = recorded[name]
    process = worker(backend)
    precision = Precision.FLOAT64 if backend == "numpy" else Precision.FLOAT32
    spec = Spec.from_dict(golden.spec)
    arguments = jobs.OutputArguments(spec, precision, (jobs.Run("run", "batch", golden.training),))
    arrays = jobs.pack_parameters(golden.parameters)
    arrays |= {f"batch/inputs/{key}": value for key, value in golden.inputs.items()}
    ours = jobs.group(process.run(jobs.outputs, arguments, arrays)[1], "run")
    for what, (value, mapped) in golden.expected.items():
        _close(mapped(ours), value, golden.tolerance, what)
    if golden.loss:
        kind, labels, value = golden.loss
        if backend == "numpy":  # its gradients are complex steps, one run for each of some million numbers
            found_loss = float(LOSSES[kind].reference(ours["logits"], ours["output"], labels))
        else:
            evaluated = jobs.GradientArguments(spec, precision, kind, (jobs.Run("run", "batch", training=False),))
            gradients = process.run(jobs.gradients, evaluated, {**arrays, "batch/labels": labels})[1]
            found_loss = float(gradients["run/loss"])
        assert found_loss == pytest.approx(value, rel=1e-5, abs=golden.tolerance["atol"])
    for gradient in golden.gradients:
        changed, given = spec, dict(arrays)
        if gradient.spec is not None:
            changed = Spec.from_dict(gradient.spec)
            kept = changed.parameters
            given = {k: v for k, v in arrays.items() if not k.startswith("parameters/") or k[11:] in kept}
        labels = gradient.labels(ours)
        derived = jobs.GradientArguments(changed, precision, gradient.loss, arguments.runs)
        gradients = jobs.group(process.run(jobs.gradients, derived, {**given, "batch/labels": labels})[1], "run")
        for path, (value, mapped) in gradient.paths.items():
            # recorded in float32 by a reverse sweep: relative to the gradient's own size
            scale = max(float(np.abs(value).max()), 1.0)
            tolerance = {"rtol": 1e-4, "atol": 2 * golden.tolerance["atol"] * scale}
            _close(mapped(gradients[path]), value, tolerance, f"gradient of {path}")
        for path, value in gradient.fixed.items():
            assert spec.parameters[path].role == "fixed"
            assert np.abs(value).max() < 2e-5, f"{path}: what we hold fixed had a gradient"


def test_there_are_fixtures_of_every_kind() -> None:
    kinds = {golden_cases.kind_of({"kind": golden_cases.load(name).kind}) for name in golden_cases.names()}
    assert kinds == set(golden_cases.KINDS) or "ACZ_GOLDEN" in os.environ


@pytest.mark.parametrize("name", [name for name in golden_cases.names() if golden_cases.load(name).exact])
def test_the_reference_is_the_original_in_float64(
    name: str, worker: Callable[[str], Worker], recorded: dict[str, golden_cases.Golden]
) -> None:
    golden = recorded[name]
    arrays = jobs.pack_parameters(golden.parameters)
    arrays |= {f"batch/inputs/{key}": value for key, value in golden.inputs.items()}
    arrays |= golden.wide
    runs = (jobs.Run("run", "batch", golden.training),)
    arguments = jobs.OutputArguments(Spec.from_dict(golden.spec), Precision.FLOAT64, runs)
    ours = jobs.group(worker("numpy").run(jobs.outputs, arguments, arrays)[1], "run")
    for what, value in golden.exact.items():
        computed, known = golden.expected[what][1](ours), np.isfinite(value)
        assert np.abs(computed - value)[known].max() <= EXACT * np.abs(value[known]).max(), what


@pytest.mark.parametrize("backend", ["numpy", *BACKENDS])
@pytest.mark.parametrize("name", [name for name in golden_cases.names() if "edge_zero" in name])
def test_a_zero_vector_stays_zero_where_the_originals_give_nan(
    name: str, backend: str, worker: Callable[[str], Worker], recorded: dict[str, golden_cases.Golden]
) -> None:
    golden = recorded[name]
    arrays = jobs.pack_parameters(golden.parameters)
    arrays |= {f"batch/inputs/{key}": value for key, value in golden.inputs.items()}
    runs = (jobs.Run("run", "batch", training=False),)
    arguments = jobs.OutputArguments(Spec.from_dict(golden.spec), Precision.FLOAT32, runs)
    ours = jobs.group(worker(backend).run(jobs.outputs, arguments, arrays)[1], "run")
    for what, (value, mapped) in golden.expected.items():
        missing = ~np.isfinite(value)
        if what == "att":
            assert missing.any()
            assert (mapped(ours)[missing] == 0).all()
        assert np.isfinite(mapped(ours)).all()
