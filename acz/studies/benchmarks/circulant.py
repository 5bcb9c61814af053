"""A circulant layer by Fourier transforms beside the same by its explicit matrix, and what the automatic choice takes."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from acz.backend.registry import infos
from acz.backend.worker import Worker
from acz.model.layers.circulant import ROWS, faster_algorithm
from acz.studies.benchmarks.measure import Bench, Row, ratio

SIZES = ((32, 32), (256, 256), (1024, 512), (1024, 8192), (8192, 64), (8192, 512))
"""Features and units: small ones, those of the compact models' expansions and 512-layers, and a very narrow output."""


def circulant(bench: Bench) -> Iterator[Row]:
    """Forward and backward, with the gradients of weights and inputs, one linear layer at ROWS videos."""
    for backend in bench.backends:
        with Worker(backend, bench.threads) as worker:
            for features, units in SIZES:
                for form in ("fft", "dense"):
                    spec = _layer(features, units, form)
                    arguments = {"spec": spec, "videos": ROWS, "name": form}
                    worker.run("acz.studies.benchmarks.jobs:hold_gradients", arguments)
                found = bench.alternate({form: (worker, form) for form in ("fft", "dense")})
                against = ratio(found["fft"], found["dense"])
                setting = f"{features} -> {units}, {ROWS} rows"
                yield Row("circulant", "fft", backend, setting, median(found["fft"]) * 1e3, "ms", "dense", against)
                yield Row("circulant", "dense", backend, setting, median(found["dense"]) * 1e3, "ms")
                chosen = faster_algorithm(features, units, 1, infos()[backend].fft_cost)
                cost = max(1.0, against if chosen == "fft" else 1 / against)
                yield Row("circulant", f"automatic choice: {chosen}", backend, setting, cost, "of the faster form")


def _layer(features: int, units: int, form: str) -> dict[str, Any]:
    layer = {"type": "circulant_dense", "units": units, "bias": False, "product": form}
    return {
        "inputs": {"x": {"shape": [features]}},
        "streams": {"x": {"input": "x"}},
        "trunk": {"circulant": layer},
        "output": "none",
    }
