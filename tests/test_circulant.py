"""Circulant layers: the exact product of any size, the choice of its algorithm, and what they save."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acz.backend.registry import infos
from acz.exchange.artefacts.onnx.writer import build_model
from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError
from acz.model.checkpoint import save_checkpoint
from acz.model.layers.circulant import CirculantDense, CirculantProduct, correlate, faster_algorithm
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec
from acz.reference.execution import forward
from tests.conftest import Answer


def model(features: int, output: str = "none", **layer: Any) -> Spec:
    return Spec.from_dict(
        {
            "inputs": {"x": {"shape": [features]}},
            "streams": {"x": {"input": "x"}},
            "trunk": {"last": {"type": "circulant_dense", **layer}},
            "output": output,
        }
    )


def by_hand(x: Array, weight: Array, diagonal: Array | None, kind: str, units: int) -> Array:
    """The formula, number by number; `diagonal` as the layer has it."""
    factors, blocks, n = weight.shape
    output = np.zeros((len(x), blocks * n))
    for video, block in product(range(len(x)), range(blocks)):
        y = list(x[video])
        for factor in range(factors):
            w = weight[factor, block]
            d = np.ones(n) if diagonal is None else diagonal[factor, block]
            if kind == "learned":
                y = [a * b for a, b in zip(y, d, strict=True)]
            y = [sum(y[j] * w[(j - i) % n] for j in range(n)) for i in range(n)]
            if kind == "fixed":
                y = [y[i] * d[i - 1] for i in range(n)]
        output[video, block * n : (block + 1) * n] = y
    return output[:, :units]


@pytest.mark.parametrize("kind", ["none", "learned", "fixed"])
@pytest.mark.parametrize(("features", "units"), [(8, 20), (7, 17), (7, 3), (8, 8), (1, 4), (9, 1)])
@pytest.mark.parametrize("factors", [1, 2])
def test_any_size_is_the_exact_product(kind: str, features: int, units: int, factors: int) -> None:
    spec = model(features, units=units, factors=factors, diagonal=kind, bias=False)
    parameters = initial_parameters(spec, 3, np.float64)
    x = np.random.default_rng(0).standard_normal((2, features))
    diagonal = parameters.get("trunk.last.diagonal")
    expected = by_hand(x, parameters["trunk.last.weight"], diagonal, kind, units)
    np.testing.assert_allclose(forward(spec, parameters, {"x": x})["output"], expected, rtol=1e-12, atol=1e-14)


def test_a_product_larger_than_a_strip_is_the_same() -> None:
    n, source = 6000, np.random.default_rng(0)
    x, w = source.standard_normal((2, n)), source.standard_normal(n)
    transformed = np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(w).conj(), n)
    np.testing.assert_allclose(correlate(x, w, 5000), transformed[:, :5000], atol=1e-9)


def test_a_vector_takes_the_place_of_each_block_of_a_matrix() -> None:
    count = {kind: model(1024, units=8192, diagonal=kind).parameter_count for kind in ("none", "learned", "fixed")}
    assert count == {"none": 8192 + 8192, "learned": 3 * 8192, "fixed": 3 * 8192}
    assert model(8192, units=512, factors=2, bias=False).parameter_count == 2 * 8192
    dense = {"type": "mixture_of_experts", "classes": 3862, "mixtures": 4}
    tree = model(512, units=512).to_dict()
    counts = []
    for circulant in ({}, {"circulant": {}}):
        tree["trunk"] = {"experts": dense | circulant}
        counts.append(Spec.from_dict(tree).parameter_count)
    assert counts[0] == 512 * 3862 * 9 + 3862 * 4
    assert counts[1] == 38 * 512 + 31 * 512 + 3862 * 4  # ceil(3862 * 5 / 512) and ceil(3862 * 4 / 512) vectors


def test_diagonals_start_as_signs_and_fixed_ones_are_never_trained() -> None:
    for kind, trained in (("learned", True), ("fixed", False)):
        spec = model(50, units=100, factors=2, diagonal=kind)
        d = initial_parameters(spec, 1)["trunk.last.diagonal"]
        assert d.shape == (2, 2, 50)
        assert set(d.ravel()) == {-1.0, 1.0}
        assert 60 < (d > 0).sum() < 140
        assert ("trunk.last.diagonal" in spec.trained) is trained
    experts = {"type": "mixture_of_experts", "classes": 8, "mixtures": 2, "circulant": {"diagonal": "fixed"}}
    spec = Spec.from_dict({**model(6, units=6).to_dict(), "trunk": {"e": experts}, "output": "probabilities"})
    assert spec.trained == ["trunk.e.gates.weight", "trunk.e.experts.weight", "trunk.e.experts.bias"]
    assert (initial_parameters(spec)["trunk.e.experts.bias"] == 0.25).all()  # 1 / sqrt(classes * mixtures)


def test_the_choice_takes_transforms_where_they_save_most() -> None:
    costs = [info.fft_cost for info in infos().values() if info.fft_cost]
    assert {5.0, 6.0, 36.0} <= set(costs)
    for cost in costs:
        assert faster_algorithm(16, 16, 1, cost) == "dense"
        assert faster_algorithm(8192, 64, 1, cost) == "dense"
        assert faster_algorithm(8192, 8192, 1, cost) == "fft"
        algorithms = [faster_algorithm(size, size, 1, cost) for size in (2**k for k in range(3, 14))]
        assert algorithms == sorted(algorithms), "dense below some size, fft from there"
    assert faster_algorithm(1024, 8192, 1, 5.0) == "fft"
    for none in (None, math.inf):
        assert faster_algorithm(8192, 8192, 1, none) == "dense"


def test_a_layer_can_settle_its_algorithm_except_where_there_is_no_transform() -> None:
    for cost in (5.0, math.inf):
        assert CirculantProduct(product="fft").algorithm(8, 8, cost) == "fft"
        assert CirculantProduct(product="dense").algorithm(8192, 8192, cost) == "dense"
    layer = CirculantDense(units=8192, product="fft")
    assert layer.algorithms((8192,), 5.0) == {"": "fft"}
    assert layer.algorithms((8192,), None) == {"": "dense"}


def test_a_matrix_that_is_too_large_is_refused_or_not_chosen() -> None:
    with pytest.raises(SpecError, match=r"explicit matrix .* product: fft needs no matrix"):
        model(2**15, units=2**15, product="dense")
    assert faster_algorithm(2**16, 64, 2, 36.0) == "fft"
    large = model(2**15, units=2**15)
    with pytest.raises(
        SpecError, match=r"trunk.last: the explicit matrix .* there is no transform here: an ONNX file has none"
    ):
        build_model(large, initial_parameters(large))


def test_how_a_product_is_computed_does_not_enter_the_hash() -> None:
    assert model(4, units=4, product="fft").hash == model(4, units=4).hash != model(4, units=4, factors=2).hash
    experts = {"type": "mixture_of_experts", "classes": 3}

    def hash_of(circulant: dict[str, Any]) -> str:
        tree = model(4, units=4).to_dict() | {"trunk": {"last": {**experts, "circulant": circulant}}}
        return Spec.from_dict(tree).hash

    assert hash_of({"product": "fft"}) == hash_of({}) != hash_of({"factors": 2})


def test_an_onnx_file_holds_the_vectors_and_no_matrix(tmp_path: Path) -> None:
    spec = model(512, units=1000, factors=2, diagonal="fixed", product="fft")
    file = build_model(spec, initial_parameters(spec)).SerializeToString()
    assert len(file) < 4 * spec.parameter_count + 8000


def test_a_wrong_setting_says_what_is_right() -> None:
    with pytest.raises(SpecError, match=r"trunk.last.diagonal: .*'none', 'learned' or 'fixed', got 'signs'"):
        model(4, units=4, diagonal="signs")
    with pytest.raises(SpecError, match=r"unknown key; .*factors"):
        model(4, units=4, k_factor=2)


def test_the_report_of_an_export_says_which_algorithm_it_has(acz: Callable[..., Answer], tmp_path: Path) -> None:
    spec = model(6, units=4, product="fft")
    save_checkpoint(tmp_path / "model.safetensors", spec, initial_parameters(spec))
    answer = acz("export", tmp_path / "model.safetensors", "--format", "onnx", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["onnx"]["circulant_products"] == {"trunk.last": "dense"}
