"""A training step that two processes share, beside one process, and beside what the two can't do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from statistics import median

from acz.backend.engines.worker_group import ProcessGroup
from acz.backend.registry import infos
from acz.backend.worker import Worker
from acz.model.spec import Spec
from acz.studies.benchmarks.jobs import ClockArguments, Spent, StepsArguments, clock_steps, hold_steps, release
from acz.studies.benchmarks.measure import Bench, Row, ratio
from acz.zoo.config import load_spec

SETTINGS = (
    ("youtube8m/attention_cluster", 256),
    ("flash_mnist/attention_cluster_hidden", 256),
    ("flash_mnist/attention_cluster_hidden", 2048),
)
"""Models at their published sizes, and videos of a batch."""
ONE, TWO, THREADS = "1 process", "2 processes", "1 process, twice the threads"
HALF, APART = "half the batch, alone", "half the batch in each of 2 processes that share nothing"
LEAST, LEAST_SHARED = "1 video, 1 process", "2 videos, 2 processes"
MOST_STEPS = 50

Measured = dict[str, list[Spent]]


def measure_processes(bench: Bench) -> Iterator[Row]:
    """A step of a whole batch in one process and in two, with its parts. All of them take turns.

    The floor of two processes is half the batch alone, and the sums of the gradients after it: no part of them at the same
    time as the other.
    """
    for backend in bench.backends:
        if infos()[backend].launcher is None:
            continue
        for model, videos in SETTINGS:
            spec = load_spec(model)
            yield from _rows(_measure(bench, backend, spec, videos), backend, f"{model}, batch {videos}")


def _measure(bench: Bench, backend: str, spec: Spec, videos: int) -> Measured:
    whole, half, least, shared = {"whole": videos}, {"half": videos // 2}, {"least": 1}, {"whole": videos, "least": 2}
    with ExitStack() as stack:
        alone, beside = (stack.enter_context(Worker(backend, bench.threads)) for _ in range(2))
        doubled = stack.enter_context(Worker(backend, 2 * bench.threads))
        group = stack.enter_context(ProcessGroup(backend, 2, bench.threads))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        alone.run(hold_steps, StepsArguments(spec, whole | half | least))
        beside.run(hold_steps, StepsArguments(spec, half))
        doubled.run(hold_steps, StepsArguments(spec, whole))
        group.run(hold_steps, [StepsArguments(spec, shared, place) for place in group.places])

        def in_worker(name: str, worker: Worker, steps: int) -> list[Spent]:
            return [worker.run(clock_steps, ClockArguments(name, steps, float("inf")))[0]]

        def in_group(name: str, steps: int) -> list[Spent]:
            arguments = [ClockArguments(name, steps, float("inf"))] * group.world
            return [spent for spent, _ in group.run(clock_steps, arguments)]

        def apart(steps: int) -> list[Spent]:
            both = pool.map(lambda worker: in_worker("half", worker, steps), (alone, beside))
            return [spent for each in both for spent in each]

        works: dict[str, Callable[[int], list[Spent]]] = {
            ONE: partial(in_worker, "whole", alone),
            TWO: partial(in_group, "whole"),
            THREADS: partial(in_worker, "whole", doubled),
            HALF: partial(in_worker, "half", alone),
            APART: apart,
            LEAST: partial(in_worker, "least", alone),
            LEAST_SHARED: partial(in_group, "least"),
        }
        steps = {
            name: max(1, min(MOST_STEPS, round(bench.seconds / work(1)[0].seconds))) for name, work in works.items()
        }
        measured: Measured = {name: [] for name in works}
        for done in range(bench.rounds):
            for name, work in works.items():
                bench.shown(f"{backend}: {name}", done, bench.rounds)
                ranks = work(steps[name])
                longest = max(spent.seconds for spent in ranks)
                busiest = max(spent.of_processor for spent in ranks)
                measured[name].append(Spent(longest, busiest, ranks[0].sent))
        for worker in (alone, beside, doubled):
            worker.run(release, None)
    return measured


def _rows(measured: Measured, backend: str, setting: str) -> Iterator[Row]:
    """The figures by the clock, and by the time of the processor, which other work on the machine does not lengthen."""
    clocks = {name: [spent.seconds for spent in rounds] for name, rounds in measured.items()}
    busy = {name: [spent.of_processor for spent in rounds] for name, rounds in measured.items()}
    sums = [max(both - own, 0.0) for both, own in zip(busy[LEAST_SHARED], busy[LEAST], strict=True)]
    floor = median(half + added for half, added in zip(busy[HALF], sums, strict=True)) * 1e3

    def row(what: str, times: list[float], beside: list[float] | None, floor: float | None = None) -> Row:
        against = "" if beside is None else ONE
        of = None if beside is None else ratio(times, beside)
        return Row("processes", what, backend, setting, median(times) * 1e3, "ms", against, of, floor)

    for name in (ONE, TWO, THREADS, APART):
        yield row(name, clocks[name], None if name == ONE else clocks[ONE])
    processor = "of a processor: "
    yield row(processor + ONE, busy[ONE], None)
    yield row(processor + TWO, busy[TWO], busy[ONE], floor)
    yield row(processor + HALF, busy[HALF], busy[ONE])
    yield row(processor + APART, busy[APART], busy[ONE])
    yield row(processor + "sums of the gradients", sums, busy[ONE])
    yield row(processor + "a step of 1 video, most of which is Adam", busy[LEAST], busy[ONE])
    sent = median(spent.sent for spent in measured[TWO]) / 1e6
    if sent:
        yield Row("processes", "carried between 2 processes", backend, setting, sent, "MB/step")
