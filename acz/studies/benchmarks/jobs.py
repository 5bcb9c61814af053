"""Jobs of a worker for a benchmark.

A worker holds prepared work under a name, and times it when asked. So workers can take turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol, SupportsFloat, cast, runtime_checkable

import numpy as np

from acz.backend.processes import Place
from acz.backend.protocol import Backend
from acz.evaluation.metrics import YouTube8MMetrics
from acz.foundation.arrays import Array, Arrays
from acz.model.losses import choose_loss
from acz.model.optimizer import Adam
from acz.model.parameters import initial_parameters
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.reference.samples import Case
from acz.studies.benchmarks.official import CLASSES, TOP_K, Official, batch_of

Work = Callable[[], object]
HELD: dict[str, Work] = {}
"""Prepared work by name; each call waits until its result is there."""
COUNTING: dict[str, Official | YouTube8MMetrics] = {}


@runtime_checkable
class StepBaselines(Protocol):
    """A backend that can also run what its training step is compared with. The functions return work by name."""

    def loop_over_units(self, spec: Spec, inputs: Mapping[str, Array], labels: Array) -> Mapping[str, Work]:
        """The published code of an attention cluster: `step` and `forward`."""

    def bare_step(self, spec: Spec, videos: int) -> Mapping[str, Work]:
        """The bare parts of a training step: `products` of matrices, and the optimiser, `Adam`."""

    def bare_layer(self, spec: Spec, inputs: Mapping[str, Array], labels: Array) -> Mapping[str, Work]:
        """A model's `layer`, forward and backward, without loss and optimiser, from a gradient of its logits."""

    def rates(self, rows: int, inputs: int, outputs: int, copied: int) -> Mapping[str, Work]:
        """The three `products` of a dense layer, and the `copy` of `copied` float32 numbers."""


@runtime_checkable
class ReadingBaseline(Protocol):
    """A backend whose framework has a reader of YouTube-8M's shards of its own."""

    READER: str
    """The framework's name of it."""

    def read_records(self, paths: Sequence[str], videos: int, classes: int) -> Work:
        """One pass over shards in batches of `videos`: uint8, filled up to 300 frames, with lengths, labels and ids."""


BASELINES: dict[str, type] = {"steps": StepBaselines, "reading": ReadingBaseline}


@dataclass(frozen=True)
class HoldArguments:
    """A model at `videos` a batch on a device, and the name under which its work is held."""

    name: str
    spec: Spec
    videos: int
    device: str = "CPU"
    precision: Precision = Precision.FLOAT32


@dataclass(frozen=True)
class StepsArguments:
    """A model, and the batches on which its training step is held."""

    spec: Spec
    batches: dict[str, int]
    """The number of videos of each batch, by the name under which its step is held."""
    place: Place | None = None
    """The place of this process, where several share the batches."""


@dataclass(frozen=True)
class Spent:
    """The time of a step: medians of a stretch."""

    seconds: float
    of_processor: float
    """Seconds of the processor, in all threads of this process."""
    sent: float
    """Bytes that this host's loopback carried, for all processes."""


@dataclass(frozen=True)
class RateArguments:
    """The sizes of a dense layer's products and of a copy, and the name under which they are held."""

    name: str
    rows: int
    inputs: int
    outputs: int
    copied: int


@dataclass(frozen=True)
class ReadingArguments:
    """Shards, the videos in a batch, the classes, and the name under which a pass over them is held."""

    name: str
    paths: list[Path]
    videos: int
    classes: int


@dataclass(frozen=True)
class CountArguments:
    """Batches `first` .. `last` - 1 that `kind` counts, `acz` or `official`; with `end`, its result too."""

    kind: str
    first: int
    last: int
    end: bool


@dataclass(frozen=True)
class Counted:
    """Seconds of the processor, which others may share, and the figures of a result."""

    seconds: float
    figures: dict[str, float]


@dataclass(frozen=True)
class ClockArguments:
    """Held work that is timed: up to `repeats` calls, for `seconds` at most."""

    name: str
    repeats: int
    seconds: float
    of_processor: bool = False
    """Count the time of the processor, in all threads, which other processes do not lengthen."""


def list_baselines(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> tuple[list[str], Arrays]:
    """A job: the kinds of baselines that a backend has."""
    return [name for name, kind in BASELINES.items() if isinstance(backend, kind)], {}


def hold_step(backend: Backend, arguments: HoldArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold one training step, the backend's own, compiled where it compiles, on one batch."""
    spec = arguments.spec
    inputs, labels, masks = sample(spec, arguments.videos)
    optimizer = Adam(learning_rate=1e-3, weight_decay=1e-4)
    trainer = backend.start_training(_model(backend, arguments), optimizer, choose_loss(None, spec).name)
    HELD[arguments.name] = lambda: float(backend.training_step(trainer, inputs, labels, masks, 1e-3)[0])
    return None, {}


def hold_steps(backend: Backend, arguments: StepsArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold the training step of one model on several batches. At a place it is that of this process's rows."""
    spec, place = arguments.spec, arguments.place
    optimizer = Adam(learning_rate=1e-3, weight_decay=1e-4)
    model = _model(backend, HoldArguments("", spec, 0))
    trainer = backend.start_training(model, optimizer, choose_loss(None, spec).name)
    for name, videos in arguments.batches.items():
        own, shared = (place.part(videos), (videos,)) if place else (slice(None), ())
        inputs, labels, masks = sample(spec, videos)
        inputs, masks = ({key: value[own].copy() for key, value in part.items()} for part in (inputs, masks))
        HELD[name] = partial(backend.training_step, trainer, inputs, labels[own], masks, 1e-3, *shared)
    return None, {}


def hold_forward(backend: Backend, arguments: HoldArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold an evaluation of a batch."""
    inputs, _, _ = sample(arguments.spec, arguments.videos)
    model = _model(backend, arguments)
    HELD[arguments.name] = lambda: backend.forward(model, inputs)["output"]
    return None, {}


def hold_gradients(backend: Backend, arguments: HoldArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold the pass of sum(logits * labels), forward and backward, to parameters and inputs."""
    inputs, labels, masks = sample(arguments.spec, arguments.videos, "projection")
    model = _model(backend, arguments)
    HELD[arguments.name] = lambda: backend.loss_and_gradients(model, inputs, labels, "projection", masks)[0]
    return None, {}


def hold_loop(backend: Backend, arguments: HoldArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold the published loop over units, as `NAME step` and `NAME forward`."""
    inputs, labels, _ = sample(arguments.spec, arguments.videos)
    return _hold(arguments.name, _step_baselines(backend).loop_over_units(arguments.spec, inputs, labels))


def hold_bare_step(backend: Backend, arguments: HoldArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold what a training step cannot do without, as `NAME products` and `NAME Adam`."""
    return _hold(arguments.name, _step_baselines(backend).bare_step(arguments.spec, arguments.videos))


def hold_layer(backend: Backend, arguments: HoldArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold a model forward and backward, as `NAME layer`."""
    inputs, labels, _ = sample(arguments.spec, arguments.videos, "projection")
    return _hold(arguments.name, _step_baselines(backend).bare_layer(arguments.spec, inputs, labels))


def hold_rates(backend: Backend, arguments: RateArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: hold a dense layer's products and a copy, as `NAME products` and `NAME copy`."""
    sizes = arguments.rows, arguments.inputs, arguments.outputs, arguments.copied
    return _hold(arguments.name, _step_baselines(backend).rates(*sizes))


def hold_reading(backend: Backend, arguments: ReadingArguments, arrays: Mapping[str, Array]) -> tuple[str, Arrays]:
    """A job: hold a pass over shards by the framework's own reader; gives the reader's name."""
    assert isinstance(backend, ReadingBaseline)
    paths = [str(path) for path in arguments.paths]
    HELD[arguments.name] = backend.read_records(paths, arguments.videos, arguments.classes)
    return backend.READER, {}


def count(backend: Backend, arguments: CountArguments, arrays: Mapping[str, Array]) -> tuple[Counted, Arrays]:
    """A job: count batches of videos, from where the last such job stopped."""
    if arguments.kind not in COUNTING:
        COUNTING[arguments.kind] = {"acz": YouTube8MMetrics, "official": Official}[arguments.kind](CLASSES, TOP_K)
    metrics = COUNTING[arguments.kind]
    seconds = 0.0
    for number in range(arguments.first, arguments.last):
        scores, labels = batch_of(number)
        start = time.process_time()
        metrics.update(scores, labels)
        seconds += time.process_time() - start
    if not arguments.end:
        return Counted(seconds, {}), {}
    start = time.process_time()
    figures = metrics.result()
    seconds += time.process_time() - start
    return Counted(seconds, {name: float(figures[name]) for name in ("hit_at_1", "perr", "map", "gap")}), {}


def clock(backend: Backend, arguments: ClockArguments, arrays: Mapping[str, Array]) -> tuple[list[float], Arrays]:
    """A job: the seconds of each call of held work, after one call that is not counted."""
    work = HELD[arguments.name]
    work()
    now = time.process_time if arguments.of_processor else time.perf_counter
    spent: list[float] = []
    while len(spent) < arguments.repeats and sum(spent) < arguments.seconds:
        start = now()
        work()
        spent.append(now() - start)
    return spent, {}


def clock_steps(backend: Backend, arguments: ClockArguments, arrays: Mapping[str, Array]) -> tuple[Spent, Arrays]:
    """A job: the time of `repeats` steps after one that is not counted. Ranks that share them all take as many."""
    step = cast(Callable[[], tuple[SupportsFloat, SupportsFloat]], HELD[arguments.name])
    float(step()[0])
    before, walls, processor = _loopback(), [], []
    for _ in range(arguments.repeats):
        start, busy = time.perf_counter(), time.process_time()
        float(step()[0])  # which waits for it
        walls.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return Spent(median(walls), median(processor), (_loopback() - before) / arguments.repeats), {}


def _loopback() -> int:
    """The bytes that this host's loopback has carried; 0 where the system does not count them."""
    counts = Path("/proc/net/dev")
    lines = counts.read_text(encoding="ascii").splitlines() if counts.is_file() else []
    return next((int(line.split(":")[1].split()[0]) for line in lines if line.strip().startswith("lo:")), 0)


def release(backend: Backend, arguments: None, arrays: Mapping[str, Array]) -> tuple[float, Arrays]:
    """A job: let go of everything held; gives the largest resident size of this process so far, in MiB."""
    import resource

    HELD.clear()
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, {}


def sample(spec: Spec, videos: int, loss: str | None = None) -> tuple[Arrays, Array, Arrays]:
    """Inputs in the types of real data, labels of the loss (by default the model's own), and dropout masks."""
    batch = Case("bench", spec, loss or choose_loss(None, spec).name).batch("plain", videos=videos)
    inputs = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in batch.inputs.items()}
    return inputs, batch.labels, batch.dropout


def _model(backend: Backend, arguments: HoldArguments) -> Any:
    model = backend.build(arguments.spec, arguments.device, arguments.precision.value)
    backend.load_parameters(model, initial_parameters(arguments.spec, 0, np.dtype(np.float32)))
    return model


def _step_baselines(backend: Backend) -> StepBaselines:
    assert isinstance(backend, StepBaselines)
    return backend


def _hold(name: str, works: Mapping[str, Work]) -> tuple[None, Arrays]:
    HELD.update({f"{name} {part}": work for part, work in works.items()})
    return None, {}
