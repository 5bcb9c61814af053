"""Weights in fewer bits: codebooks, the files of ONNX with them, and what they lose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.backend.signature import Form
from acz.exchange.artefacts.formats import find_format
from acz.exchange.artefacts.narrowing import (
    LEAST_NARROWED,
    Stored,
    narrow,
    narrowed_paths,
    restored,
    to_codes,
    to_float16,
)
from acz.exchange.artefacts.onnx.writer import write_onnx
from acz.exchange.artefacts.runtime import Runtime
from acz.exchange.artefacts.verify import verify
from acz.foundation.arrays import Array
from acz.model.checkpoint import save_checkpoint
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.zoo.config import load_config
from tests.conftest import Answer

BITS = ("float16", "uint8")
WIDE = {
    "youtube8m/gated/netvlad": {"model.trunk.hidden.units": 64, "model.trunk.experts.classes": 30},
    "youtube8m/nextvlad": {"model.trunk.hidden.units": 64, "model.trunk.logits.units": 40},
    "flash_mnist/attention_cluster_hidden": {
        "model.streams.features.layers.attention.hidden": 64,
        "model.streams.features.layers.attention.units": 32,
    },
}
"""Models of the zoo with arrays that are large enough to be stored in fewer bits."""


def wide_spec(model: str) -> Spec:
    return load_config(f"{model}:tiny", WIDE[model]).spec


def error(value: Array, stored: Stored) -> float:
    return float(((value - stored.restored()) ** 2).mean())


@pytest.mark.parametrize("shape", ["normal", "uniform", "heavy tails", "two values", "one value", "few numbers"])
def test_a_codebook_loses_least_of_three(source: np.random.Generator, shape: str) -> None:
    value = {
        "normal": source.standard_normal((64, 50)),
        "uniform": source.random((64, 50)),
        "heavy tails": source.standard_t(2, (64, 50)),
        "two values": np.where(source.random((64, 50)) < 0.5, -0.25, 3.0),
        "one value": np.full((64, 50), 0.7),
        "few numbers": source.standard_normal((2, 40)),
    }[shape].astype(np.float32)
    stored = to_codes(value)
    assert stored.codebook is not None
    assert (stored.values.shape, stored.values.dtype.name) == (value.shape, "uint8")
    assert (stored.codebook.shape, stored.codebook.dtype.name) == ((256,), "float32")
    assert (np.diff(stored.codebook) >= 0).all()
    steps = np.linspace(value.min(), value.max(), 256)
    quantiles = np.quantile(value, (np.arange(256) + 0.5) / 256)
    for codebook in (steps, quantiles):
        nearest = np.abs(value.reshape(-1, 1) - codebook).min(axis=1)
        assert error(value, stored) <= 1.02 * (nearest**2).mean() + 1e-12
    if shape in ("two values", "one value", "few numbers"):
        np.testing.assert_allclose(stored.restored(), value, rtol=1e-6, err_msg="numbers with a value each are kept")


def test_each_number_has_the_nearest_value(source: np.random.Generator) -> None:
    value = source.standard_normal((40, 40)).astype(np.float32)
    stored = to_codes(value)
    assert stored.codebook is not None
    distances = np.abs(value[..., None].astype(np.float64) - stored.codebook)
    np.testing.assert_allclose(np.abs(stored.restored() - value), distances.min(axis=2), rtol=1e-5, atol=1e-7)


def test_a_number_beyond_float16_becomes_its_largest() -> None:
    value = np.array([[1e6, -1e6], [1.0, 0.1]], np.float32)
    assert to_float16(value).restored().tolist() == [[65504.0, -65504.0], [1.0, float(np.float16(0.1))]]


def test_tables_statistics_vectors_and_small_arrays_stay() -> None:
    spec = wide_spec("youtube8m/nextvlad")
    parameters = initial_parameters(spec)
    stored = narrow(spec, parameters, "uint8")
    assert stored
    for path in stored:
        p = spec.parameters[path]
        assert (p.role, len(p.shape)) == ("trained", 2)
        assert p.size >= LEAST_NARROWED
    changed = {
        path for path, value in restored(parameters, stored).items() if not np.array_equal(value, parameters[path])
    }
    assert changed == set(stored)
    assert not narrow(spec, parameters, "float32")


@pytest.mark.parametrize("model", WIDE)
def test_published_sizes_take_a_quarter_and_a_half(model: str) -> None:
    spec = load_config(model).spec
    paths = narrowed_paths(spec)
    numbers, others = sum(spec.parameters[path].size for path in paths), spec.parameter_count
    others -= numbers
    whole = 4 * spec.parameter_count
    assert (numbers + 1024 * len(paths) + 4 * others) / whole <= 0.27
    assert (2 * numbers + 4 * others) / whole <= 0.51


@pytest.mark.parametrize("weights", BITS)
@pytest.mark.parametrize("model", WIDE)
def test_a_file_is_the_reference_with_exactly_its_weights(model: str, weights: str, tmp_path: Path) -> None:
    """The bound is float32's; with the weights of the checkpoint the same file is beyond it."""
    spec, form = wide_spec(model), Form.of(weights)
    parameters, maker = initial_parameters(spec), find_format("onnx")
    write_onnx(spec, parameters, tmp_path / "model.onnx", form=form)
    held = restored(parameters, narrow(spec, parameters, weights))
    for script in maker.scripts().values():
        with Runtime("onnx", script) as runtime:
            for given, passes in ((held, True), (parameters, False)):
                checks, _ = verify(spec, parameters, tmp_path / "model.onnx", runtime, False, form, given)
                assert all(check.passed for check in checks) == passes


def test_a_command_says_what_fewer_bits_save_and_lose(acz: Callable[..., Answer], tmp_path: Path) -> None:
    spec = load_config("flash_mnist/attention_cluster:tiny", {"model.trunk.logits.units": 2000}).spec
    model, sizes = tmp_path / "model.safetensors", {}
    save_checkpoint(model, spec, initial_parameters(spec))
    for weights in ("float32", *BITS):
        answer = acz("export", model, "--format", "onnx", "--weights", weights)
        assert answer.code == 0, answer.err
        (report,) = (tmp_path / "export").glob(f"*{'' if weights == 'float32' else weights}.onnx.report.json")
        told: dict[str, Any] = json.loads(report.read_text())
        sizes[weights] = told["size_bytes"]
        assert ("against_float32" in told) == (weights != "float32")
        assert (f"weights in {weights}:" in answer.out) == (weights != "float32")
        report.unlink()
    assert sizes["float16"] < 0.6 * sizes["float32"]
    assert sizes["uint8"] < 0.4 * sizes["float32"]
    refused = acz("export", model, "--format", "onnx", "--weights", "int8")
    assert "the format 'onnx' has no weights 'int8', only float32, float16, uint8; with int8: tflite" in refused.err
