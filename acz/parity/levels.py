"""The levels: 1 outputs, 2 gradients, 3 training, 4 checkpoints, 5 exports. Each compares backends with the NumPy reference."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.worker import Worker
from acz.foundation.arrays import Array, Arrays
from acz.foundation.processes.job_process import WorkerDied
from acz.model.optimizer import Adam
from acz.parity import jobs
from acz.parity.exports import ONNX, Ask, exports
from acz.parity.row import Row
from acz.reference import numpy_backend
from acz.reference.bounds import (
    FLOAT64,
    GRADIENT_ROUNDING,
    HALF_UNIT,
    ROUNDING,
    difference,
    float32_bound,
    gradient_scales,
    moved,
    worst,
)
from acz.reference.samples import Batch, Case

LEVELS = {1: "outputs", 2: "gradients", 3: "training", 4: "checkpoints", 5: "exports"}
STEPS = 50
COUPLED = Adam(learning_rate=3e-3, weight_decay=1e-3, clip_norm=0.25)
DECOUPLED = Adam(learning_rate=3e-3, weight_decay=1e-2, decoupled=True, clip_global_norm=1.0)
PENALTIES = (3e-2, 0.0, 1e-2)
"""Of the trained parameters in turn."""
TRAINING_VIDEOS = 8
"""In a batch: of four it happens that dropout spares all of one unit, and between batch norms the gradient of that is rounding alone."""
REST = 5
"""Of the steps, those after a checkpoint."""

Function = Callable[..., Iterator[Row]]


class Reference:
    """The NumPy reference, behind the same jobs; every answer is computed once for all backends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[str, Arrays] = {}

    def __call__(self, key: str, job: str, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Arrays:
        with self.lock:
            if key not in self.known:
                with np.errstate(all="ignore"):
                    self.known[key] = getattr(jobs, job)(numpy_backend, arguments, arrays)[1]
            return self.known[key]


def _runs(case: Case) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """The runs of levels 1 and 2: every kind of batch, in evaluation and training."""
    runs, arrays = [], {f"parameters/{path}": value for path, value in case.parameters.items()}
    for name in case.names:
        arrays |= jobs.pack(name, case.batch(name))
        runs += [
            {"name": f"{name}, {mode}", "batch": name, "training": mode == "training"}
            for mode in ("evaluation", "training")
        ]
    return runs, arrays


def _with_moved(arrays: Mapping[str, Array], by: float = HALF_UNIT) -> dict[str, Array]:
    """A job's arrays with parameters that are `moved`."""
    new = moved(jobs.group(arrays, "parameters"), by)
    return {**arrays, **{f"parameters/{path}": value for path, value in new.items()}}


def _alone(case: Case, batch: Batch) -> dict[str, Array]:
    """A batch's videos one by one, and the whole with frames of padding added: nothing of it may change an output."""
    arrays: dict[str, Array] = {}
    for index in range(len(batch.labels)):
        for key, value in batch.inputs.items():
            arrays[f"alone{index}/inputs/{key}"] = value[index : index + 1]
    for key, value in batch.inputs.items():
        if key in case.spec.inputs and case.spec.inputs[key].has_frames:
            junk = np.full((len(value), 2, value.shape[2]), 1e6)
            arrays[f"longer/inputs/{key}"] = np.concatenate([value, junk], axis=1)
            mask = batch.inputs.get(f"{key}.mask", np.ones(value.shape[:2], dtype=bool))
            arrays[f"longer/inputs/{key}.mask"] = np.concatenate([mask, np.zeros((len(value), 2), bool)], axis=1)
        elif not key.endswith(".mask"):
            arrays[f"longer/inputs/{key}"] = value
    return arrays


def outputs(case: Case, backend: str, ask: Ask, reference: Reference) -> Iterator[Row]:
    """Level 1: every layer's output on every kind of batch, in both modes and precisions; and independence."""
    runs, arrays = _runs(case)
    spec = case.spec.to_dict()
    exact = reference(f"{case.model} outputs", "outputs", {"spec": spec, "dtype": "float64", "runs": runs}, arrays)
    for dtype in ("float64", "float32"):
        arguments = {"spec": spec, "dtype": dtype, "runs": runs}
        bounds: Mapping[str, float] | float = FLOAT64
        if dtype == "float32":
            own = [
                reference(f"{case.model} outputs float32", "outputs", arguments, arrays),
                reference(
                    f"{case.model} outputs moved", "outputs", {**arguments, "dtype": "float64"}, _with_moved(arrays)
                ),
            ]
            bounds = {name: float32_bound(max(difference(one[name], v) for one in own)) for name, v in exact.items()}
        found = ask("outputs", arguments, arrays)
        for mode in ("evaluation", "training"):
            chosen = {name: value for name, value in exact.items() if name.split("/")[0].endswith(mode)}
            measured, bound, where = worst(found, chosen, bounds)
            yield Row(case.model, backend, 1, f"outputs, {mode}", dtype, measured, bound, where)
    kind = "padded" if "padded" in case.names else "plain"
    together = case.batch(kind)
    extra = _alone(case, together)
    names = [f"alone{index}" for index in range(len(together.labels))] + ["longer"]
    arguments = {
        "spec": spec,
        "dtype": "float64",
        "runs": [{"name": name, "batch": name, "training": False} for name in [kind, *names]],
    }
    found = ask("outputs", arguments, arrays | jobs.pack(kind, together) | extra)
    whole = found[f"{kind}/output"]
    apart = np.concatenate([found[f"alone{index}/output"] for index in range(len(whole))])
    padding = [("padded frames", found["longer/output"])] if "padded" in case.names else []
    for check, value in [("batch mates", apart), *padding]:
        yield Row(case.model, backend, 1, f"independence of {check}", "float64", difference(value, whole), FLOAT64)


def gradients(case: Case, backend: str, ask: Ask, reference: Reference) -> Iterator[Row]:
    """Level 2: every parameter's and input's gradient against complex steps of the reference, in both precisions."""
    runs, arrays = _runs(case)
    runs = [run for run in runs if run["batch"] in ("plain", "padded", "one frame")]
    base = {"spec": case.spec.to_dict(), "loss": case.loss, "runs": runs}
    exact = reference(f"{case.model} gradients", "gradients", {**base, "dtype": "float64"}, arrays)
    for dtype in ("float64", "float32"):
        found = ask("gradients", {**base, "dtype": dtype}, arrays)
        others: list[Arrays] = []
        if dtype == "float32":
            others = [
                reference(f"{case.model} gradients float32", "gradients", {**base, "dtype": dtype}, arrays),
                reference(
                    f"{case.model} gradients moved", "gradients", {**base, "dtype": "float64"}, _with_moved(arrays)
                ),
            ]
        best = (0.0, 1.0, "")
        for run in runs:
            wanted = jobs.group(exact, run["name"])
            scales = gradient_scales(wanted, 1e-4 if dtype == "float64" else 1e-2)
            bound = FLOAT64
            if dtype == "float32":
                own = [
                    difference(other[f"{run['name']}/{name}"], value, scales[name])
                    for other in others
                    for name, value in wanted.items()
                ]
                bound = float32_bound(max(own), GRADIENT_ROUNDING)
            measured, bound, where = worst(jobs.group(found, run["name"]), wanted, bound, scales)
            if measured / bound >= best[0] / best[1]:
                best = (measured, bound, f"{run['name']}: {where}")
            if measured > bound:
                break
        yield Row(case.model, backend, 2, "gradients", dtype, *best)


def training_arguments(case: Case, adam: Adam, padded: bool, steps: int = STEPS) -> tuple[dict[str, Any], Arrays]:
    """A job's arguments and batches: without masks or, if `padded`, each with one; every third batch has padded frames then."""
    arrays = {f"parameters/{path}": value for path, value in case.parameters.items()}
    for step in range(steps):
        kind = "padded" if padded and "padded" in case.names and step % 3 == 2 else "plain"
        batch = case.batch(kind, step, TRAINING_VIDEOS)
        arrays |= jobs.pack(f"step{step}", batch.masked(case.spec) if padded else batch)
    penalties = {path: factor for path, factor in zip(case.spec.trained, cycle(PENALTIES), strict=False) if factor}
    rates = [adam.learning_rate * (0.5 + 0.5 * np.cos(step / steps)) for step in range(steps)]
    return {
        "spec": case.spec.to_dict(),
        "loss": case.loss,
        "adam": adam.model_dump() | {"l2_penalty": penalties},
        "steps": steps,
        "rest": REST,
        "rates": rates,
    }, arrays


class Trainings:
    """Trainings in the L2 form, each run once: level 3 compares it with the reference's, level 4 goes on from what it has saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[tuple[str, str, str], Arrays] = {}

    def path(self, case: Case, writer: str, dtype: str) -> str:
        return str(self.folder / f"{case.model.replace('/', '-')}-{writer}-{dtype}.safetensors")

    def __call__(self, case: Case, backend: str, ask: Ask, dtype: str) -> Arrays:
        key = case.model, backend, dtype
        if key not in self.known:
            arguments, arrays = training_arguments(case, COUPLED, padded=False)
            path = self.path(case, backend, dtype)
            self.known[key] = ask("training", {**arguments, "dtype": dtype, "path": path}, arrays)
        return self.known[key]


def training(
    case: Case, backend: str, ask: Ask, reference: Reference, trainings: Trainings, short: bool = False
) -> Iterator[Row]:
    """Level 3: the loss of each of 50 steps and the parameters after them, same batches, same masks.

    Both forms of weight decay and both of clipping take part, and an L2 penalty of some parameters. In one form no batch has a mask
    of frames, in the other each has one: every graph that is compiled for them costs seconds. `short` leaves float32 out of the second.
    """
    for adam in (COUPLED, DECOUPLED):
        form = "decoupled" if adam.decoupled else "L2"
        arguments, arrays = training_arguments(case, adam, padded=adam.decoupled)
        exact = reference(f"{case.model} {form}", "training", {**arguments, "dtype": "float64"}, arrays)
        after = jobs.group(exact, "parameters")
        for dtype in ("float64",) if short and adam.decoupled else ("float64", "float32"):
            found = (
                ask("training", {**arguments, "dtype": dtype}, arrays)
                if adam.decoupled
                else trainings(case, backend, ask, dtype)
            )
            losses, left = difference(found["losses"], exact["losses"]), jobs.group(found, "parameters")
            bounds = 1e-8, 1e-8
            if dtype == "float32":
                # where steps magnify rounding, one float32 training may be near by chance: then a second, from the numbers beside
                starts, others = {"": arrays, " beside": _with_moved(arrays, ROUNDING)}, []
                for start, given in starts.items():
                    key = f"{case.model} {form} float32{start}"
                    others.append(reference(key, "training", {**arguments, "dtype": dtype}, given))
                    bounds = _training_bounds(exact, others)
                    if losses <= bounds[0] and worst(left, after, bounds[1])[0] <= bounds[1]:
                        break
            yield Row(case.model, backend, 3, f"losses of {STEPS} steps, {form}", dtype, losses, bounds[0])
            measured, bound, where = worst(left, after, bounds[1])
            yield Row(case.model, backend, 3, f"parameters after, {form}", dtype, measured, bound, where)


def _training_bounds(exact: Arrays, others: list[Arrays]) -> tuple[float, float]:
    """Of the losses, and of the parameters: those of one model drift together, so the worst sets the bound of each."""
    losses = max(difference(other["losses"], exact["losses"]) for other in others)
    drifts = [
        difference(other[name], value)
        for other in others
        for name, value in exact.items()
        if name.startswith("parameters/")
    ]
    return float32_bound(losses), float32_bound(max(drifts))


def checkpoints(
    case: Case, backend: str, ask: Ask, dtype: str, writers: list[str], trainings: Trainings
) -> Iterator[Row]:
    """Level 4: `backend` goes on from what each writer has saved, and does what that writer did.

    What is loaded, weights and optimiser, is the same to the last bit, in both precisions; the steps after it are compared in
    float64, which tells more, since every graph that is compiled for them costs seconds. For the same reason one trainer
    loads them all: the first as it was built, the others over what the steps before have left.
    """
    arguments, arrays = training_arguments(case, COUPLED, padded=False)
    arguments |= {"dtype": dtype, "paths": {writer: trainings.path(case, writer, dtype) for writer in writers}}
    found = ask("resume", arguments | {"rest": REST if dtype == "float64" else 0}, arrays)
    for writer in writers:
        mine, wrote = jobs.group(found, writer), trainings.known[case.model, writer, dtype]
        state = {name: value for name, value in wrote.items() if name.startswith(("loaded/", "optimizer/"))}
        measured, bound, where = worst(mine, state, 0.0)
        if measured <= bound:
            after = {"output": wrote["output"]}
            bounds = {
                "output": FLOAT64 if dtype == "float64" else float32_bound(0.0, GRADIENT_ROUNDING),
                "losses": 1e-8,
            }
            if dtype == "float64":
                after["losses"] = wrote["losses"][-REST:]
            measured, bound, where = worst(mine, after, bounds)
        yield Row(case.model, backend, 4, f"checkpoint of {writer}", dtype, measured, bound, where)


@contextmanager
def _workers(backends: list[str], threads: int, wrap: str) -> Iterator[dict[str, Worker]]:
    workers = {name: Worker(name, threads, wrap) for name in backends}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def check(
    chosen: list[Case],
    backends: list[str],
    levels: list[int],
    progress: Callable[[str], None] = lambda text: None,
    wrap: str = "",
    threads: int = 1,
    short: bool = False,
) -> list[Row]:
    """Run levels on cases, one worker a backend, side by side. A dead worker is its backend's failure; others go on.

    `short` takes level 3's second form in float64 alone, which saves MindSpore a graph.
    """
    rows: list[Row] = []
    frameworks = [name for name in backends if name != ONNX]
    reference = Reference()
    dead: dict[str, str] = {}

    def guarded(name: str, case: Case, level: int, work: Callable[[Ask], list[Row]]) -> list[Row]:
        def ask(job: str, arguments: Mapping[str, Any], arrays: Mapping[str, Array]) -> Arrays:
            return workers[name].run(job if ":" in job else f"acz.parity.jobs:{job}", arguments, arrays)[1]

        failed = functools.partial(Row, case.model, name, level, LEVELS[level], "", float("nan"), 0.0)
        if name in dead:
            return [failed(problem=dead[name])]
        progress(f"{name}: {case.model}, {LEVELS[level]}")
        try:
            return work(ask)
        except WorkerDied as error:
            dead[name] = str(error)
            return [failed(problem=dead[name])]
        except Exception as error:
            return [failed(problem=f"{type(error).__name__}: {error}")]

    def compared(name: str, trainings: Trainings) -> list[Row]:
        found = []
        functions: dict[int, Function] = {
            1: outputs,
            2: gradients,
            3: functools.partial(training, trainings=trainings, short=short),
        }
        for case in chosen:
            for level in (level for level in levels if level in functions):

                def work(ask: Ask, case: Case = case, function: Function = functions[level]) -> list[Row]:
                    return list(function(case, name, ask, reference))

                found += guarded(name, case, level, work)
        return found

    with (
        _workers(frameworks, threads, wrap) as workers,
        ThreadPoolExecutor(max(len(backends), 1)) as pool,
        tempfile.TemporaryDirectory(prefix="acz-parity-") as folder,
    ):
        trainings = Trainings(Path(folder))
        for part in pool.map(lambda name: compared(name, trainings), frameworks):
            rows += part
        if 4 in levels:
            rows += _exchanged(chosen, frameworks, trainings, guarded, pool)
        if 5 in levels:
            for part in pool.map(lambda name: list(exports(chosen, name, guarded)), backends):
                rows += part
    return rows


def _exchanged(
    chosen: list[Case],
    backends: list[str],
    trainings: Trainings,
    guarded: Callable[[str, Case, int, Callable[[Ask], list[Row]]], list[Row]],
    pool: ThreadPoolExecutor,
) -> list[Row]:
    """Level 4: every backend saves, then every other one loads; and each its own."""

    def write(name: str) -> list[Row]:
        rows: list[Row] = []
        for case in chosen:

            def work(ask: Ask, case: Case = case) -> list[Row]:
                for dtype in ("float64", "float32"):
                    trainings(case, name, ask, dtype)
                return []

            rows += guarded(name, case, 4, work)
        return rows

    def read(name: str) -> list[Row]:
        rows: list[Row] = []
        for case in chosen:
            # a writer that has saved nothing has a row of its own, which says why
            writers = [writer for writer in backends if (case.model, writer, "float32") in trainings.known]

            def work(ask: Ask, case: Case = case, writers: list[str] = writers) -> list[Row]:
                return [
                    row
                    for dtype in ("float64", "float32")
                    for row in checkpoints(case, name, ask, dtype, writers, trainings)
                ]

            rows += guarded(name, case, 4, work)
        return rows

    return [row for part in [*pool.map(write, backends), *pool.map(read, backends)] for row in part]
