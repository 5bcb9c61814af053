"""Sampling with replacement draws frames twice, so that several are the largest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from acz.backend.worker import Worker
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.parity import jobs
from parity_tests.conftest import BACKENDS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("padded", [False, True])
def test_equal_frames_share_the_gradient_of_the_largest(
    backend: str, padded: bool, worker: Callable[[str], Worker]
) -> None:
    """Drawn twice, a frame's weight gradient is that of the frame drawn once: none is lost, none counts double."""
    source = np.random.default_rng(3)
    spec = Spec.from_dict(
        {
            "inputs": {"x": {"frames": 4, "features": 3}},
            "streams": {
                "x": {
                    "input": "x",
                    "layers": {
                        "clusters": {"type": "dense", "units": 5, "bias": False},
                        "pool": {"type": "frame_pool", "pooling": "max"},
                    },
                }
            },
        }
    )
    w, once, cotangent = (source.standard_normal(shape) for shape in ((3, 5), (2, 4, 3), (2, 5)))
    twice = np.concatenate([once, once[:, ::-1]], axis=1)
    arrays = {"parameters/x.clusters.weight": w, "batch/inputs/x": twice, "batch/labels": cotangent}
    if padded:
        arrays["batch/inputs/x"] = np.concatenate([twice, np.full((2, 3, 3), 1e6)], axis=1)
        arrays["batch/inputs/x.mask"] = np.tile(np.arange(11) < 8, (2, 1))
    arguments = jobs.GradientArguments(
        spec, Precision.FLOAT64, "projection", (jobs.Run("run", "batch", training=True),)
    )
    computed = jobs.group(worker(backend).run(jobs.gradients, arguments, arrays)[1], "run")
    largest = (once @ w).argmax(1)  # (videos, clusters)
    want = sum(once[video, largest[video]].T * cotangent[video] for video in range(2))
    np.testing.assert_allclose(computed["x.clusters.weight"], want, rtol=1e-12)
