"""Aggregation by clusters beside the bare matrix products that it cannot do without, in turn."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from acz.model.spec import Spec
from acz.studies.benchmarks.jobs import HoldArguments, hold_bare_step, hold_layer, hold_step, release
from acz.studies.benchmarks.measure import Bench, Row, ratio, workers_with

VIDEOS, CLUSTERS, CLASSES = 80, 64, 3862
SIZES = ((15, 1024), (15, 128), (150, 1024), (150, 128))
"""Frames and features: a sampling of rgb and of audio, and ten of them together."""
NORM = {"epsilon": 1e-3, "decay": 0.999, "variance": "unbiased"}


def model_of(kind: str, frames: int, features: int, whole: bool) -> Spec:
    """The layer alone, or the `whole` published model of a modality: the layer, 512 units of relu6, the classes."""
    tree: dict[str, Any] = {
        "inputs": {"x": {"frames": frames, "features": features}},
        "streams": {"x": {"input": "x", "layers": {"clusters": {"type": kind, "clusters": CLUSTERS, "norm": NORM}}}},
    }
    if whole:
        tree["output"] = "sigmoid"
        tree["trunk"] = {
            "hidden": {"type": "dense", "units": 512, "bias": False},
            "norm": {"type": "batch_norm", **NORM},
            "relu6": {"type": "activation", "function": "relu6"},
            "logits": {"type": "dense", "units": CLASSES},
        }
    return Spec.from_dict(tree)


def measure_vlad(bench: Bench) -> Iterator[Row]:
    """The training step of a model, and the layer alone forward and backward: each beside its matrix products.

    The step is also compared with the framework's own Adam on as many numbers. Measures the backends that have these
    baselines.
    """
    for backend, worker in workers_with(bench, "steps"):
        for kind in ("netvlad", "net_fv"):
            for frames, features in SIZES:
                setting = f"{kind}, T {frames}, F {features}, {CLUSTERS} clusters, batch {VIDEOS}"
                for whole in (True, False):
                    spec = model_of(kind, frames, features, whole)
                    worker.run(hold_step if whole else hold_layer, HoldArguments("ours", spec, VIDEOS))
                    worker.run(hold_bare_step, HoldArguments("bare", spec, VIDEOS))
                    names = ["ours" if whole else "ours layer", "bare products", *(["bare Adam"] if whole else [])]
                    times = bench.alternate({f"{setting}: {name}": (worker, name) for name in names})
                    ours, *bare = times.values()
                    what = "training step" if whole else "layer, forward and backward"
                    together = [sum(parts) for parts in zip(*bare, strict=True)]
                    floors = {"products": bare[0], **({"products and Adam": together} if whole else {})}
                    for against, floor in floors.items():
                        ours_ms, floor_ms = median(ours) * 1e3, median(floor) * 1e3
                        yield Row("vlad", what, backend, setting, ours_ms, "ms", against, ratio(ours, floor), floor_ms)
                    worker.run(release, None)
