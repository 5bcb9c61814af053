"""Ten steps of training at full size: a backend's own in float32 beside those of the reference.

A complex step for each number would take years, so the reference takes its gradients from a backend in float64, where
directions have shown that they are right. The loss, the running statistics and Adam are the reference's own, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array, Arrays
from acz.model.checkpoint import save_checkpoint
from acz.model.losses import LOSSES
from acz.model.optimizer import Adam
from acz.parity.proof.directions import ROWS
from acz.parity.proof.jobs import Measured, nearest
from acz.parity.proof.record import Record, read_record
from acz.parity.proof.reference import fed, take
from acz.parity.proof.subject import PART
from acz.reference.bounds import GRADIENT_ROUNDING, ROUNDING, float32_bound, perturbed
from acz.reference.execution import run

STEPS = 10
COPIES = 10
"""Arrays in float64, of the size of all parameters, that a training of the reference holds at its peak."""


@dataclass(frozen=True)
class Training:
    """The steps of a record's model."""

    record: Path
    optimizer: Adam
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReferenceTraining:
    """A training of the reference, whose last parameters go into a checkpoint."""

    training: Training
    end: Path
    rounded: bool
    """Start from parameters one unit of float32 away, run the model in float32, and round parameters after each step."""


@dataclass(frozen=True)
class OwnTraining:
    """A training of a backend, and the reference's two beside it."""

    training: Training
    exact: Path
    rounded: Path
    exact_losses: tuple[float, ...]
    rounded_losses: tuple[float, ...]


def train_reference(
    backend: Backend, arguments: ReferenceTraining, arrays: Mapping[str, Array]
) -> tuple[list[float], Arrays]:
    """A job: the reference's steps with the backend's gradients; returns the loss of each."""
    training = arguments.training
    record = read_record(training.record)
    spec, loss = record.spec, record.manifest.loss
    parameters: Arrays = {path: value.astype(np.float64) for path, value in record.parameters.items()}
    if arguments.rounded:
        parameters = perturbed(parameters, ROUNDING)
    model = backend.build(spec, "CPU", "float64")
    trained = [path for path in spec.trained if path not in training.frozen]
    moments = {f"{m}.{path}": np.zeros_like(parameters[path]) for path in trained for m in "mv"}
    losses = []
    for step, (inputs, labels, dropout) in enumerate(_steps(record, np.float64), start=1):
        if arguments.rounded:
            result = run(spec, fed(parameters, np.float32), fed(inputs, np.float32), True, False, dropout)
        else:
            result = run(spec, parameters, inputs, True, False, dropout)
        losses.append(float(LOSSES[loss].reference(result.logits, result.output, labels)))
        backend.load_parameters(model, parameters)
        _, gradients = backend.loss_and_gradients(model, inputs, labels, loss, dropout, True)
        chosen = {path: gradients[path] for path in trained}
        del gradients
        _take_step(training.optimizer, parameters, chosen, moments, step)
        del chosen
        moved = {path: value for path, value in result.updated.items() if path not in training.frozen}
        parameters |= fed(moved, np.float64)
        if arguments.rounded:
            for path, value in parameters.items():
                parameters[path] = value.astype(np.float32).astype(np.float64)
    del model, moments
    save_checkpoint(arguments.end, spec, parameters)
    return losses, {}


def _take_step(optimizer: Adam, parameters: Arrays, gradients: Arrays, moments: Arrays, step: int) -> None:
    """One step of the reference's Adam, some rows at a time. Parameters and moments change in place."""
    prepared = optimizer.prepared(parameters, gradients)
    alone = optimizer.model_copy(update={"l2_penalty": {}, "clip_norm": None, "clip_global_norm": None})
    for path, gradient in prepared.items():
        held = {path: parameters[path], f"m.{path}": moments[f"m.{path}"], f"v.{path}": moments[f"v.{path}"]}
        flat = {name: value.reshape(-1) for name, value in held.items()}
        for start in range(0, gradient.size, ROWS):
            rows = slice(start, start + ROWS)
            now = {path: flat[path][rows]}
            state = {name: value[rows] for name, value in flat.items() if name != path}
            alone.reference_step(now, {path: gradient.reshape(-1)[rows]}, state, step, optimizer.learning_rate)
            for name, value in (now | state).items():
                flat[name][rows] = value


def train_backend(
    backend: Backend, arguments: OwnTraining, arrays: Mapping[str, Array]
) -> tuple[list[Measured], Arrays]:
    """A job: the backend's own steps in float32; returns their distances from the reference's.

    A parameter's distance is the mean difference of its numbers, as a share of their mean movement. A mean, because
    Adam takes a step of full size wherever a gradient is rounding alone. Statistics are relative to themselves.
    """
    training = arguments.training
    record = read_record(training.record)
    start = {path: value.astype(np.float32) for path, value in record.parameters.items()}
    model = backend.build(record.spec, "CPU", "float32")
    backend.load_parameters(model, start)
    trainer = backend.start_training(model, training.optimizer, record.manifest.loss, training.frozen)
    rate = training.optimizer.learning_rate
    losses = [
        float(backend.training_step(trainer, inputs, labels, dropout, rate)[0])
        for inputs, labels, dropout in _steps(record, np.float32)
    ]
    after = backend.dump_parameters(model)
    del trainer, model
    exact_losses = np.array(arguments.exact_losses)
    scale = float(np.abs(exact_losses).max()) or 1.0
    off, own = (
        float(np.abs(np.array(other) - exact_losses).max()) / scale for other in (losses, arguments.rounded_losses)
    )
    measured = [Measured(3, f"losses of {STEPS} steps", *nearest([("loss", _or_infinite(off), _bound(own))]))]
    distances: dict[str, tuple[float, float]] = {}
    with ExitStack() as stack:
        exact, rounded = (_open(stack, path) for path in (arguments.exact, arguments.rounded))
        for path in record.spec.parameters:
            if record.spec.parameters[path].role != "fixed" and path not in training.frozen:
                expected = exact(path)
                moved = expected if path in record.spec.statistics else expected - start[path]
                size = float(np.abs(moved).mean())
                if size > 0:
                    distances[path] = (_mean(after.get(path), expected) / size, _mean(rounded(path), expected) / size)
    bound = _bound(max((own for _, own in distances.values()), default=0.0))
    compared = [(path, off, bound) for path, (off, _) in distances.items()]
    if compared:
        measured.append(Measured(3, f"parameters after {STEPS} steps", *nearest(compared)))
    return measured, {}


def _bound(own: float) -> float:
    """The bound of what follows from steps. It has the floor of gradients, which are reverse sweeps."""
    return float32_bound(own, GRADIENT_ROUNDING)


def _open(stack: ExitStack, path: Path) -> Any:
    from safetensors import safe_open

    return stack.enter_context(safe_open(path, framework="numpy")).get_tensor


def _mean(value: Array | None, expected: Array) -> float:
    return _or_infinite(float("inf") if value is None else float(np.abs(value - expected).mean()))


def _or_infinite(number: float) -> float:
    return number if np.isfinite(number) else float("inf")


def _steps(record: Record, dtype: Any) -> Iterator[tuple[Arrays, Array, Arrays]]:
    """Inputs, labels and dropout masks of each step: videos of the batch `data`, one after the other and again."""
    batch = record.batches["data"]
    videos = len(batch.labels)
    inputs = fed(batch.inputs, dtype)
    labels = batch.labels.astype(dtype) if batch.labels.dtype.kind == "f" else batch.labels
    for step in range(STEPS):
        rows: Any = np.arange(step * PART, step * PART + min(PART, videos)) % videos
        yield take(inputs, rows), labels[rows], take(batch.dropout, rows)
