"""A circulant layer by Fourier transforms beside the same layer by its explicit matrix, and the automatic choice."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from acz.backend.registry import infos
from acz.backend.worker import Worker
from acz.model.layers.circulant import ROWS, faster_algorithm
from acz.model.spec import Spec
from acz.studies.benchmarks.jobs import HoldArguments, hold_gradients
from acz.studies.benchmarks.measure import Bench, Row, ratio

SIZES = ((32, 32), (256, 256), (1024, 512), (1024, 8192), (8192, 64), (8192, 512))
"""Features and units: small ones, those of the compact models' expansions and 512-layers, and a very narrow output."""
ALGORITHMS = ("fft", "dense")


def measure_circulant(bench: Bench) -> Iterator[Row]:
    """Forward and backward, with the gradients of weights and inputs, one linear layer at ROWS videos."""
    for backend in bench.backends:
        with Worker(backend, bench.threads) as worker:
            for features, units in SIZES:
                for algorithm in ALGORITHMS:
                    worker.run(hold_gradients, HoldArguments(algorithm, layer_of(features, units, algorithm), ROWS))
                times = bench.alternate({algorithm: (worker, algorithm) for algorithm in ALGORITHMS})
                against = ratio(times["fft"], times["dense"])
                setting = f"{features} -> {units}, {ROWS} rows"
                yield Row("circulant", "fft", backend, setting, median(times["fft"]) * 1e3, "ms", "dense", against)
                yield Row("circulant", "dense", backend, setting, median(times["dense"]) * 1e3, "ms")
                chosen = faster_algorithm(features, units, 1, infos()[backend].fft_cost)
                cost = max(1.0, against if chosen == "fft" else 1 / against)
                yield Row("circulant", f"automatic choice: {chosen}", backend, setting, cost, "of the faster form")


def layer_of(features: int, units: int, algorithm: str) -> Spec:
    """A model of one circulant layer."""
    layer = {"type": "circulant_dense", "units": units, "bias": False, "product": algorithm}
    return Spec.from_dict(
        {
            "inputs": {"x": {"shape": [features]}},
            "streams": {"x": {"input": "x"}},
            "trunk": {"circulant": layer},
            "output": "none",
        }
    )
