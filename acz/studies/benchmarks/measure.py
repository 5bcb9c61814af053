"""The benchmarks. Every comparison alternates: a stretch of one, a stretch of the other, several rounds; the ratio is the median of the rounds' ratios."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from acz.backend.worker import Worker
from acz.data.folder import Split, write_manifest, write_shard
from acz.foundation.progress import Progress
from acz.model.spec import Spec
from acz.studies.benchmarks.jobs import random_features
from acz.training.log import read_log
from acz.zoo.config import load_spec

HIDDEN, LINEAR = "flash_mnist/attention_cluster_hidden", "flash_mnist/attention_cluster"
UNITS = "model.streams.features.layers.attention.units"
FEATURES = "model.inputs.features"
INFERENCE_SIZES = (1, 16, 256, 1024)


@dataclass
class Row:
    """One figure. `ratio` is `value` of this row over that of `against`, in turn, where it has one."""

    group: str
    what: str
    backend: str
    setting: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    floor: float | None = None
    """The least that the work could take on this machine, in `unit`."""


@dataclass
class Bench:
    """Settings shared by the groups. `rounds` is how often two things take turns, `seconds` how long a stretch is."""

    backends: list[str]
    threads: int
    rounds: int
    seconds: float
    shown: Progress

    def alternate(self, stretches: Mapping[str, tuple[Worker, str]]) -> dict[str, list[float]]:
        """Median seconds of each stretch, one a round: label -> (worker, name of the held work)."""
        found: dict[str, list[float]] = {label: [] for label in stretches}
        for done in range(self.rounds):
            for label, (worker, name) in stretches.items():
                self.shown(label, done, self.rounds)
                arguments = {"name": name, "repeats": 200, "seconds": self.seconds}
                found[label].append(median(worker.run("acz.studies.benchmarks.jobs:clock", arguments)[0]))
        return found


def ratio(one: list[float], other: list[float]) -> float:
    """The median over the rounds of one over the other."""
    return median(a / b for a, b in zip(one, other, strict=True))


def floor_seconds(spec: Spec, videos: int, rates: Mapping[str, float], training: bool = True) -> float:
    """What the machine's rates allow at best: a training step's three products of every weight matrix and of the attention,
    and Adam's reading of w, g, m, v and writing of w, m, v; or one product each."""
    products = 0.0
    for placed in spec.layout:
        rows = videos * (placed.input_shape[0] if len(placed.input_shape) == 2 else 1)
        products += sum(2.0 * rows * p.size for p in placed.parameters.values() if len(p.shape) == 2)
        if placed.layer.type == "attention_cluster":  # the weights times the frames
            products += 2.0 * videos * placed.input_shape[0] * placed.output_shape[0]
    if not training:
        return products / rates["operations"]
    return 3 * products / rates["operations"] + 7 * 4.0 * spec.parameter_count / rates["bytes"]


def against_the_loop(bench: Bench) -> Iterator[Row]:
    """PyTorch's training step and forward pass beside the published loop over units, and beside the floor."""
    settings: dict[str, tuple[dict[str, Any], int]] = {
        "128 units, fc 1, batch 64": ({UNITS: 128}, 64),
        "32 units, fc 1, batch 64": ({UNITS: 32}, 64),
        "32 units, T 100, F 1024, batch 32": ({UNITS: 32, FEATURES: {"frames": 100, "features": 1024}}, 32),
    }
    with Worker("torch", bench.threads) as worker:
        rates, _ = worker.run("acz_torch.benchmark:rates")
        yield Row("machine", "float32 products", "torch", "2048 x 2048", rates["operations"] / 1e9, "GFLOP/s")
        yield Row("machine", "copy, read and written", "torch", "256 MiB", rates["bytes"] / 1e9, "GB/s")
        for setting, (overrides, videos) in settings.items():
            spec = load_spec(LINEAR, overrides)
            common = {"spec": spec.to_dict(), "videos": videos}
            worker.run("acz.studies.benchmarks.jobs:hold_step", {**common, "name": "step"})
            worker.run("acz.studies.benchmarks.jobs:hold_forward", {**common, "name": "forward"})
            worker.run("acz_torch.benchmark:hold_loop", {**common, "name": "loop"})
            inputs, outputs = spec.parameters["trunk.logits.weight"].shape
            shape = {"rows": videos, "inputs": inputs, "outputs": outputs}
            for what, ours, theirs in (("training step", "step", "loop"), ("forward", "forward", "loop forward")):
                rates, _ = worker.run("acz_torch.benchmark:rates", shape)
                found = bench.alternate({f"{setting}: {name}": (worker, name) for name in (ours, theirs)})
                one, other = found.values()
                floor = floor_seconds(spec, videos, rates, training=ours == "step")
                ours_ms, theirs_ms, floor_ms = (value * 1e3 for value in (median(one), median(other), floor))
                yield Row(
                    "loop", f"{what}, loop over units", "torch", setting, theirs_ms, "ms", "acz", ratio(other, one)
                )
                yield Row("loop", what, "torch", setting, ours_ms, "ms", "loop", ratio(one, other), floor_ms)
                of_floor = median(one) / floor
                yield Row("floor", what, "torch", setting, ours_ms, "ms", "floor", of_floor, floor_ms)
            worker.run("acz.studies.benchmarks.jobs:release")


def steps(bench: Bench) -> Iterator[Row]:
    """Each backend's training step and its peak memory, PyTorch's beside it where it takes part."""
    settings = {"128 units, fc 2, batch 64": (128, 64), "64 units, fc 2, batch 256": (64, 256)}
    for setting, (units, videos) in settings.items():
        spec = load_spec(HIDDEN, {UNITS: units})
        with ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(name, bench.threads)) for name in bench.backends}
            for worker in workers.values():
                worker.run(
                    "acz.studies.benchmarks.jobs:hold_step", {"spec": spec.to_dict(), "videos": videos, "name": "step"}
                )
            found = bench.alternate({name: (worker, "step") for name, worker in workers.items()})
            for name, seconds in found.items():
                beside = found.get("torch")
                of = ratio(seconds, beside) if beside else None
                yield Row("step", "training step", name, setting, median(seconds) * 1e3, "ms", "torch", of)
            for name, worker in workers.items():
                peak, _ = worker.run("acz.studies.benchmarks.jobs:release")
                yield Row("memory", "peak resident, training step", name, setting, peak, "MiB")


def inference(bench: Bench) -> Iterator[Row]:
    """The evaluation of one model at several batch sizes in every backend, and in NumPy."""
    spec = load_spec(HIDDEN)
    with ExitStack() as stack:
        names = [*bench.backends, "numpy"]
        workers = {name: stack.enter_context(Worker(name, bench.threads)) for name in names}
        for videos in INFERENCE_SIZES:
            for worker in workers.values():
                arguments = {"spec": spec.to_dict(), "videos": videos, "name": "forward"}
                worker.run("acz.studies.benchmarks.jobs:hold_forward", arguments)
            found = bench.alternate({name: (worker, "forward") for name, worker in workers.items()})
            for name, seconds in found.items():
                of = ratio(seconds, found["torch"]) if "torch" in found else None
                setting = f"64 units, fc 2, batch {videos}"
                yield Row("inference", "evaluation", name, setting, median(seconds) * 1e3, "ms", "torch", of)


def write_data(folder: Path, videos: int) -> None:
    """A data set of random features in the shape of Flash-MNIST's."""
    splits = {}
    for split, count in (("train", videos), ("test", 64)):
        labels = np.arange(count, dtype=np.int64) % 1024
        splits[split] = [write_shard(folder, split, 0, {"features": random_features(count, 25, 50), "labels": labels})]
    write_manifest(folder, splits, {"what": "benchmark"})


def train_command(bench: Bench) -> Iterator[Row]:
    """`acz train`, with its data, masks, schedule and log, beside the bare step of the same model in the same framework."""
    videos, batch, epochs = 64 * 256, 256, 3
    spec = load_spec(HIDDEN)
    with tempfile.TemporaryDirectory(prefix="acz-bench-") as place, ExitStack() as stack:
        folder = Path(place)
        write_data(folder / "data", videos)
        workers = {name: stack.enter_context(Worker(name, bench.threads)) for name in bench.backends}
        for worker in workers.values():
            worker.run(
                "acz.studies.benchmarks.jobs:hold_step", {"spec": spec.to_dict(), "videos": batch, "name": "step"}
            )
        spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in workers}
        for done in range(bench.rounds):
            for name, worker in workers.items():
                bench.shown(f"{name}: acz train beside its bare step", done, bench.rounds)
                arguments = {"name": "step", "repeats": 200, "seconds": bench.seconds}
                before = median(worker.run("acz.studies.benchmarks.jobs:clock", arguments)[0])
                spent[name][0].append(_train(name, folder, f"{name}-{done}", batch, epochs, bench.threads))
                after = median(worker.run("acz.studies.benchmarks.jobs:clock", arguments)[0])
                spent[name][1].append((before + after) / 2)
        for name, (ours, bare) in spent.items():
            setting = "64 units, fc 2, batch 256"
            yield Row("train", "bare step", name, setting, median(bare) * 1e3, "ms")
            of = ratio(ours, bare)
            yield Row("train", "step of acz train", name, setting, median(ours) * 1e3, "ms", "bare step", of)


def _train(backend: str, folder: Path, name: str, batch: int, epochs: int, threads: int) -> float:
    """Seconds a step of a real run, over its epochs after the first, in which graphs are compiled."""
    out = folder / name
    words = ["train", HIDDEN, "--backend", backend, "--data", folder / "data", "--out", out, "--threads", threads]
    words += ["--set", f"train.epochs={epochs}", "--set", f"train.batch_size={batch}"]
    subprocess.run([sys.executable, "-m", "acz", *map(str, words)], check=True, capture_output=True)
    speeds = [line["videos_per_second"] for line in read_log(out / "metrics.jsonl") if line["kind"] == "evaluation"]
    return batch / median(speeds[1:])


def reading(bench: Bench) -> Iterator[Row]:
    """Batches of features from memory-mapped shards, in an epoch's random order."""
    with tempfile.TemporaryDirectory(prefix="acz-bench-") as place:
        write_data(Path(place), 20_480)
        split = Split(Path(place), "train")
        order = np.random.default_rng(0).permutation(len(split))
        speeds = []
        for done in range(bench.rounds):
            bench.shown("data reading", done, bench.rounds)
            start = time.perf_counter()
            for first in range(0, len(order), 256):
                split.take(order[first : first + 256], ["features"])
            speeds.append(len(order) / (time.perf_counter() - start))
        setting = "25 x 50 float32, batch 256, shuffled"
        yield Row("data", "reading", "", setting, median(speeds), "videos/s")
        yield Row("data", "reading", "", setting, median(speeds) * 25 * 50 * 4 / 1e6, "MB/s")


def starting(bench: Bench) -> Iterator[Row]:
    """Fresh processes: the help, importing each framework, and the first output of a model."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")} | {"OMP_NUM_THREADS": "1"}

    def seconds(words: list[str]) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True, env=clean)
        return time.perf_counter() - start

    first = (
        "import sys, json, numpy, acz; s = acz.load_spec('{0}'); m = acz.build(s, backend='{1}'); "
        "from acz.backend.registry import find_backend; "
        "find_backend('{1}').forward(m, {{'features': numpy.zeros((1, 25, 50), 'float32')}})"
    )
    found: dict[str, list[float]] = {}
    for done in range(bench.rounds):
        bench.shown("start-up", done, bench.rounds)
        found.setdefault("acz --help", []).append(seconds(["-m", "acz", "--help"]))
        for name in bench.backends:
            found.setdefault(f"import {name}", []).append(seconds(["-c", f"import {name}"]))
            found.setdefault(f"first output, {name}", []).append(seconds(["-c", first.format(LINEAR, name)]))
    for what, spent in found.items():
        name = next((name for name in bench.backends if what.endswith(name)), "")
        yield Row("start", what, name, "fresh process", median(spent), "s")


def to_table(rows: list[Row], threads: int, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Flat rows for a CSV file."""
    table = []
    for row in rows:
        cells = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in vars(row).items()}
        table.append({**{k: "" if v is None else v for k, v in cells.items()}, "threads": threads, **environment})
    return json.loads(json.dumps(table))
