"""Training steps and evaluations of a model, beside the published code, beside a floor, and beside one another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

from acz.backend.worker import Worker
from acz.model.spec import Spec
from acz.studies.benchmarks.jobs import HoldArguments, hold_forward, hold_loop, hold_step, release
from acz.studies.benchmarks.measure import Bench, Rates, Row, measure_rates, ratio, workers_with
from acz.zoo.config import load_spec

HIDDEN, LINEAR = "flash_mnist/attention_cluster_hidden", "flash_mnist/attention_cluster"
UNITS = "model.streams.features.layers.attention.units"
FEATURES = "model.inputs.features"
INFERENCE_SIZES = (1, 16, 256, 1024)
BESIDE = "torch"
"""The backend that the others are compared with, where it takes part."""
LOOP_SETTINGS: dict[str, tuple[dict[str, Any], int]] = {
    "128 units, fc 1, batch 64": ({UNITS: 128}, 64),
    "32 units, fc 1, batch 64": ({UNITS: 32}, 64),
    "32 units, T 100, F 1024, batch 32": ({UNITS: 32, FEATURES: {"frames": 100, "features": 1024}}, 32),
}
STEP_SETTINGS = {"128 units, fc 2, batch 64": (128, 64), "64 units, fc 2, batch 256": (64, 256)}
"""Units and videos."""


def measure_loop(bench: Bench) -> Iterator[Row]:
    """A training step and a forward pass beside the published loop over units, and beside the floor.

    Measures the backends that have the loop.
    """
    for backend, worker in workers_with(bench, "steps"):
        rates = measure_rates(worker, 2048, 2048, 2048, copied=2**26)
        yield Row("machine", "float32 products", backend, "2048 x 2048", rates.operations / 1e9, "GFLOP/s")
        yield Row("machine", "copy, read and written", backend, "256 MiB", rates.bytes / 1e9, "GB/s")
        for setting, (overrides, videos) in LOOP_SETTINGS.items():
            spec = load_spec(LINEAR, overrides)
            worker.run(hold_step, HoldArguments("step", spec, videos))
            worker.run(hold_forward, HoldArguments("forward", spec, videos))
            worker.run(hold_loop, HoldArguments("loop", spec, videos))
            inputs, outputs = spec.parameters["trunk.logits.weight"].shape
            for what, name in (("training step", "step"), ("forward", "forward")):
                rates = measure_rates(worker, videos, inputs, outputs, copied=inputs * outputs)
                labels = {f"{setting}: {work}": (worker, work) for work in (name, f"loop {name}")}
                ours, loop = bench.alternate(labels).values()
                floor = floor_seconds(spec, videos, rates, training=name == "step")
                ours_ms, loop_ms, floor_ms = (value * 1e3 for value in (median(ours), median(loop), floor))
                slower = f"{what}, loop over units"
                yield Row("loop", slower, backend, setting, loop_ms, "ms", "acz", ratio(loop, ours))
                yield Row("loop", what, backend, setting, ours_ms, "ms", "loop", ratio(ours, loop), floor_ms)
                yield Row("floor", what, backend, setting, ours_ms, "ms", "floor", median(ours) / floor, floor_ms)
            worker.run(release, None)


def floor_seconds(spec: Spec, videos: int, rates: Rates, training: bool = True) -> float:
    """The least time that a machine's rates allow.

    A training step computes three products for every weight matrix and for the attention; Adam reads w, g, m, v and
    writes w, m, v. An evaluation computes one product for each.
    """
    products = 0.0
    for placed in spec.layout:
        rows = videos * (placed.input_shape[0] if len(placed.input_shape) == 2 else 1)
        products += sum(2.0 * rows * p.size for p in placed.parameters.values() if len(p.shape) == 2)
        if placed.layer.type == "attention_cluster":  # the weights times the frames
            products += 2.0 * videos * placed.input_shape[0] * placed.output_shape[0]
    if not training:
        return products / rates.operations
    return 3 * products / rates.operations + 7 * 4.0 * spec.parameter_count / rates.bytes


def measure_steps(bench: Bench) -> Iterator[Row]:
    """Each backend's training step and its peak memory, PyTorch's beside it where it takes part."""
    for setting, (units, videos) in STEP_SETTINGS.items():
        spec = load_spec(HIDDEN, {UNITS: units})
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(name, bench.threads)) for name in bench.backends}
            for worker in workers.values():
                worker.run(hold_step, HoldArguments("step", spec, videos))
            times = bench.alternate({name: (worker, "step") for name, worker in workers.items()})
            for name, seconds in times.items():
                of = ratio(seconds, times[BESIDE]) if BESIDE in times else None
                yield Row("step", "training step", name, setting, median(seconds) * 1e3, "ms", BESIDE, of)
            for name, worker in workers.items():
                peak, _ = worker.run(release, None)
                yield Row("memory", "peak resident, training step", name, setting, peak, "MiB")


def measure_inference(bench: Bench) -> Iterator[Row]:
    """The evaluation of one model at several batch sizes in every backend, and in NumPy."""
    spec = load_spec(HIDDEN)
    with ExitStack() as stack:
        names = [*bench.backends, "numpy"]
        workers = {name: stack.enter_context(Worker(name, bench.threads)) for name in names}
        for videos in INFERENCE_SIZES:
            for worker in workers.values():
                worker.run(hold_forward, HoldArguments("forward", spec, videos))
            times = bench.alternate({name: (worker, "forward") for name, worker in workers.items()})
            for name, seconds in times.items():
                of = ratio(seconds, times[BESIDE]) if BESIDE in times else None
                setting = f"64 units, fc 2, batch {videos}"
                yield Row("inference", "evaluation", name, setting, median(seconds) * 1e3, "ms", BESIDE, of)
