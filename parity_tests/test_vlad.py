"""Aggregation by clusters in batches that a backend may take in parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from acz.backend.worker import Worker
from acz.model.parameters import initial_parameters
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.parity import jobs
from acz.reference.bounds import FLOAT64, difference, worst
from acz.reference.execution import forward
from parity_tests.conftest import BACKENDS, require

pytestmark = pytest.mark.slow

VIDEOS, FRAMES, FEATURES, CLUSTERS = 70, 3, 128, 64  # 64 videos' clusters fill 2 MiB in float32


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["netvlad", "light_vlad", "net_fv"])
def test_a_large_batch_is_its_halves(kind: str, backend: str, worker: Callable[[str], Worker]) -> None:
    require(backend)
    spec = Spec.from_dict(
        {
            "inputs": {"x": {"frames": FRAMES, "features": FEATURES}},
            "streams": {"x": {"input": "x", "layers": {"clusters": {"type": kind, "clusters": CLUSTERS}}}},
            "trunk": {"logits": {"type": "dense", "units": 2}},
        }
    )
    source = np.random.default_rng(5)
    x = source.standard_normal((VIDEOS, FRAMES, FEATURES))
    mask = np.arange(FRAMES) < source.integers(1, FRAMES + 1, VIDEOS)[:, None]
    labels = source.standard_normal((VIDEOS, 2)).astype(np.float32)
    parameters = {path: value.astype(np.float64) for path, value in initial_parameters(spec, 3).items()}
    arrays = jobs.pack_parameters(parameters)
    parts = {"whole": slice(None), "first": slice(VIDEOS // 2), "second": slice(VIDEOS // 2, None)}
    for name, part in parts.items():
        arrays |= {f"{name}/inputs/x": x[part], f"{name}/inputs/x.mask": mask[part], f"{name}/labels": labels[part]}
    runs = tuple(jobs.Run(name, name, training=True) for name in parts)

    exact = forward(spec, parameters, {"x": x, "x.mask": mask})["output"]
    outputs = worker(backend).run(jobs.outputs, jobs.OutputArguments(spec, Precision.FLOAT64, runs), arrays)[1]
    assert difference(outputs["whole/output"], exact) <= FLOAT64

    arguments = jobs.GradientArguments(spec, Precision.FLOAT64, "projection", runs)
    computed = worker(backend).run(jobs.gradients, arguments, arrays)[1]
    whole, first, second = (jobs.group(computed, name) for name in parts)
    together = {path: first[path] + second[path] for path in spec.trained}  # the loss is a sum over videos
    assert worst(whole, together, FLOAT64)[0] <= FLOAT64
    assert difference(whole["x"], np.concatenate([first["x"], second["x"]])) <= FLOAT64
