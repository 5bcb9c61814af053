"""Jobs of a worker for the comparison, through the seam alone.

Arrays come by `group/name`: `parameters/<path>`, `<batch>/inputs/<name>`, `<batch>/labels`, `<batch>/dropout/<path>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.processes import Place
from acz.backend.protocol import Backend, Processes
from acz.foundation.arrays import Array, Arrays
from acz.model.checkpoint import load_checkpoint, save_checkpoint
from acz.model.loss_scale import INTERVAL, LossScale
from acz.model.optimizer import Adam, AveragedAdam
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.reference.samples import Batch

SCALE = LossScale(2.0**30, INTERVAL - 25)
"""The scale with which a training in float16 begins: so large that gradients overflow at first, and near its growth."""
MOST_RANKED = 3
"""The number of best classes that are compared."""


@dataclass(frozen=True)
class Run:
    """One pass over a batch: the name of its answers, the name of the batch's arrays, and the mode."""

    name: str
    batch: str
    training: bool


@dataclass(frozen=True)
class OutputArguments:
    """A model and the runs whose recorded values are wanted, and of some runs the best classes and their loss."""

    spec: Spec
    precision: Precision
    runs: tuple[Run, ...]
    ranked: tuple[str, ...] = ()
    """Names of runs in evaluation."""
    loss: str = ""
    """The loss of the ranked runs."""


@dataclass(frozen=True)
class GradientArguments:
    """A model, a loss, and the runs whose gradients are wanted."""

    spec: Spec
    precision: Precision
    loss: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class TrainingArguments:
    """A training of as many steps as there are learning rates, over the batches `step0`, `step1`, ...

    With a `path`, a checkpoint is saved there before the last `steps_after_checkpoint` steps. A training that is held
    lends its trainer to the `resume` of the same arguments, which then compiles no graph of its own.
    """

    spec: Spec
    precision: Precision
    loss: str
    adam: AveragedAdam | Adam
    rates: tuple[float, ...]
    steps_after_checkpoint: int
    path: Path | None = None
    frozen: tuple[str, ...] = ()
    held: bool = False


@dataclass(frozen=True)
class ResumeArguments:
    """A training whose last `steps_after_checkpoint` steps are run from the checkpoint of each writer."""

    training: TrainingArguments
    paths: dict[str, Path]


@dataclass(frozen=True)
class Held:
    """The model and the trainer of a training that is held."""

    backend: Backend
    arguments: TrainingArguments
    model: Any
    trainer: Any


HELD: list[Held] = []
"""The last training that was to be held in this process, if any."""


def pack(name: str, batch: Batch) -> Arrays:
    """A batch as a job's arrays."""
    arrays = {f"{name}/inputs/{key}": value for key, value in batch.inputs.items()}
    arrays |= {f"{name}/dropout/{key}": value for key, value in batch.dropout.items()}
    return arrays | {f"{name}/labels": batch.labels}


def pack_parameters(parameters: Mapping[str, Array]) -> Arrays:
    """A model's parameters as a job's arrays."""
    return {f"parameters/{path}": value for path, value in parameters.items()}


def group(arrays: Mapping[str, Array], prefix: str) -> Arrays:
    """The arrays under a prefix, by the rest of their names."""
    return {key[len(prefix) + 1 :]: value for key, value in arrays.items() if key.startswith(prefix + "/")}


def outputs(backend: Backend, arguments: OutputArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: every recorded value of each run, and the statistics after it in training."""
    spec = arguments.spec
    model = _model(backend, spec, arguments.precision, arrays)
    start = _floats(group(arrays, "parameters"), arguments.precision)
    in_order = [*spec.recordable, "logits", "output"]  # so that the first to leave its bound is the first to go wrong
    answers: Arrays = {}
    for run in arguments.runs:
        backend.load_parameters(model, start)
        values = backend.forward(
            model,
            _floats(group(arrays, f"{run.batch}/inputs"), arguments.precision),
            run.training,
            group(arrays, f"{run.batch}/dropout"),
            list(spec.recordable),
        )
        answers |= {f"{run.name}/{path}": values[path] for path in in_order}
        if run.training and spec.statistics:
            after = backend.dump_parameters(model)
            answers |= {f"{run.name}/updated.{path}": after[path] for path in spec.statistics}
        if run.name in arguments.ranked:
            best = _best(backend, model, arguments, group(arrays, run.batch), values["output"])
            answers |= {f"{run.name}/{name}": value for name, value in best.items()}
    return None, answers


def _best(backend: Backend, model: Any, arguments: OutputArguments, batch: Arrays, output: Array) -> Arrays:
    """The loss, the best values, best first, and the values of a whole output at the classes that are named beside them."""
    given, count = _floats(batch, arguments.precision), min(MOST_RANKED, arguments.spec.width)
    best = backend.forward_best(
        model, group(given, "inputs"), {"output": count}, given["labels"], arguments.loss or None
    )
    classes = best["output.classes"].astype(np.int64)
    ranked = {"best values": best["output"], "values of the best classes": np.take_along_axis(output, classes, 1)}
    return {name: -np.sort(-value, axis=1) for name, value in ranked.items()} | {"best loss": np.asarray(best["loss"])}


def gradients(backend: Backend, arguments: GradientArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: the loss and every gradient of each run."""
    model = _model(backend, arguments.spec, arguments.precision, arrays)
    start = _floats(group(arrays, "parameters"), arguments.precision)
    answers: Arrays = {}
    for run in arguments.runs:
        backend.load_parameters(model, start)
        batch = _floats(group(arrays, run.batch), arguments.precision)
        loss, values = backend.loss_and_gradients(
            model, group(batch, "inputs"), batch["labels"], arguments.loss, group(batch, "dropout"), run.training
        )
        answers[f"{run.name}/loss"] = np.array(loss)
        answers |= {f"{run.name}/{path}": value for path, value in values.items()}
    return None, answers


@dataclass(frozen=True)
class SharedTraining:
    """A training whose batches several processes share, and the place of this one."""

    training: TrainingArguments
    place: Place


def share_training(backend: Processes, arguments: SharedTraining, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: a training of which this process takes its part of each batch. The answer is that of `training`."""
    return _training(backend, arguments.training, arrays, arguments.place)


def training(backend: Backend, arguments: TrainingArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: the loss and the hits of each step, and the parameters after the last.

    Where a checkpoint is saved, the answer also holds what is in it, under the names that `resume` gives.
    """
    return _training(backend, arguments, arrays)


def _training(
    backend: Backend, arguments: TrainingArguments, arrays: Mapping[str, Array], place: Place | None = None
) -> tuple[None, Arrays]:
    model = _model(backend, arguments.spec, arguments.precision, arrays)
    trainer = backend.start_training(model, arguments.adam, arguments.loss, arguments.frozen)
    if arguments.precision is Precision.FLOAT16:
        backend.load_optimizer(trainer, {**backend.dump_optimizer(trainer), **SCALE.dump()})
    steps = range(len(arguments.rates))
    checkpoint_at = len(steps) - arguments.steps_after_checkpoint
    taken = _train(backend, trainer, arguments, arrays, steps[:checkpoint_at], place)
    answers: Arrays = {}
    if arguments.path is not None:
        save_checkpoint(arguments.path, arguments.spec, backend.dump_parameters(model), backend.dump_optimizer(trainer))
        answers = _state(backend, model, trainer, arguments.precision, arrays)
    taken += _train(backend, trainer, arguments, arrays, steps[checkpoint_at:], place)
    answers["losses"], answers["hits"] = (np.array(column) for column in zip(*taken, strict=True))
    if arguments.precision is Precision.FLOAT16:
        optimizer = backend.dump_optimizer(trainer)
        answers |= {f"scale/{name}": np.asarray(optimizer[name], np.float64) for name in ("scale", "growth", "step")}
    if arguments.held:
        HELD[:] = [Held(backend, replace(arguments, path=None), model, trainer)]
    averages = {path: value for path, value in backend.dump_optimizer(trainer).items() if path.startswith("a.")}
    return None, answers | pack_parameters({**backend.dump_parameters(model), **averages})


def resume(backend: Backend, arguments: ResumeArguments, arrays: Mapping[str, Array]) -> tuple[None, Arrays]:
    """A job: load the checkpoint of each writer and run the steps after it; arrays are named `writer/...`."""
    training = arguments.training
    held = next((held for held in HELD if held.backend is backend and held.arguments == training), None)
    if held:
        model, trainer = held.model, held.trainer
    else:
        model = backend.build(training.spec, "CPU", training.precision.value)
        trainer = backend.start_training(model, training.adam, training.loss, training.frozen)
    steps = range(len(training.rates))
    remaining = steps[len(steps) - training.steps_after_checkpoint :]
    answers: Arrays = {}
    for writer, path in arguments.paths.items():
        checkpoint = load_checkpoint(path)
        backend.load_parameters(model, checkpoint.parameters)
        backend.load_optimizer(trainer, checkpoint.optimizer)
        state = _state(backend, model, trainer, training.precision, arrays)
        state["losses"] = np.array([loss for loss, _ in _train(backend, trainer, training, arrays, remaining)])
        answers |= {f"{writer}/{name}": value for name, value in state.items()}
    return None, answers


def _floats(values: Mapping[str, Array], precision: Precision) -> Arrays:
    return {key: value.astype(precision.storage) if value.dtype.kind == "f" else value for key, value in values.items()}


def _model(backend: Backend, spec: Spec, precision: Precision, arrays: Mapping[str, Array]) -> Any:
    model = backend.build(spec, "CPU", precision.value)
    backend.load_parameters(model, _floats(group(arrays, "parameters"), precision))
    return model


def _train(
    backend: Backend,
    trainer: Any,
    arguments: TrainingArguments,
    arrays: Mapping[str, Array],
    steps: Iterable[int],
    place: Place | None = None,
) -> list[tuple[float, float]]:
    """Run steps, or at a place its part of them; gives the loss and the hits of each."""
    taken = []
    for step in steps:
        batch = _floats(group(arrays, f"step{step}"), arguments.precision)
        videos = None
        if place is not None:
            videos = len(batch["labels"])
            batch = {key: value[place.part(videos)] for key, value in batch.items()}
        given = group(batch, "inputs"), batch["labels"], group(batch, "dropout"), arguments.rates[step]
        loss, hits = (
            backend.training_step(trainer, *given) if videos is None else backend.training_step(trainer, *given, videos)
        )
        taken.append((float(loss), float(hits)))
    return taken


def _state(backend: Backend, model: Any, trainer: Any, precision: Precision, arrays: Mapping[str, Array]) -> Arrays:
    """The state of a trainer, dumped, and an output."""
    state = {f"loaded/{path}": value for path, value in backend.dump_parameters(model).items()}
    state |= {f"optimizer/{name}": value for name, value in backend.dump_optimizer(trainer).items()}
    state["output"] = backend.forward(model, _floats(group(arrays, "step0/inputs"), precision))["output"]
    return state
