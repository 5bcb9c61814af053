"""The functions of the seam without any optional part. The model is the reference's; around it stand acz.backend.helpers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from acz.backend.helpers import (
    adam_numbers,
    adam_update,
    average_update,
    best_classes,
    dump_moments,
    loss_per_video,
    prepare_gradients,
    split_moments,
)
from acz.foundation.arrays import Array
from acz.model.losses import find_loss
from acz.model.optimizer import Adam
from acz.reference.execution import run
from acz.reference.numpy_backend import (
    Model,
    build,
    devices,
    dump_parameters,
    forward,
    load_parameters,
    loss_and_gradients,
    set_threads,
    versions,
)

NAME = "mirror"

__all__ = [
    "NAME",
    "Model",
    "build",
    "capabilities",
    "devices",
    "dump_optimizer",
    "dump_parameters",
    "forward",
    "forward_best",
    "load_optimizer",
    "load_parameters",
    "loss_and_gradients",
    "set_threads",
    "start_training",
    "training_step",
    "versions",
]


def capabilities() -> dict[str, str]:
    return {"devices": "CPU", "training": "small models, by complex steps", "float64": "everything"}


def best(values: Array, count: int) -> tuple[Array, Array]:
    """The `count` best of each row and their columns; a stable sort puts the smaller column of equal values first."""
    classes = np.argsort(-values, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(values, classes, 1), classes


def loss_of(loss: str, logits: Array, output: Array, labels: Array) -> Array:
    given = labels if labels.ndim == 1 else labels.astype(logits.dtype)
    each: Array = loss_per_video(np, loss, logits, output, given)
    return np.asarray(each.sum() if find_loss(loss).is_sum else each.mean())


def forward_best(
    model: Model,
    inputs: Mapping[str, Array],
    counts: Mapping[str, int],
    labels: Array | None = None,
    loss: str | None = None,
) -> dict[str, Array]:
    whole = forward(model, inputs)
    found: dict[str, Array] = best_classes(np, whole, counts, best)
    if labels is not None and loss is not None:
        count = len(labels)
        found["loss"] = loss_of(loss, whole["logits"][:count], whole["output"][:count], labels)
    return found


@dataclass
class Trainer:
    """The model, and Adam's state by path."""

    model: Model
    optimizer: Adam
    loss: str
    frozen: frozenset[str]
    m: dict[str, Array] = field(default_factory=dict)
    v: dict[str, Array] = field(default_factory=dict)
    a: dict[str, Array] = field(default_factory=dict)
    """Averages of the trained parameters, from the first step on, where the optimiser has a decay."""
    step: int = 0


def start_training(model: Model, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Trainer:
    trained = [path for path in model.spec.trained if path not in frozen]
    shapes = {path: model.spec.parameters[path].shape for path in trained}  # parameters may be loaded later
    m, v = ({path: np.zeros(shape, model.dtype) for path, shape in shapes.items()} for _ in range(2))
    return Trainer(model, optimizer, loss, frozenset(frozen), m, v)


def training_step(
    trainer: Trainer,
    inputs: Mapping[str, Array],
    labels: Array,
    dropout: Mapping[str, Array],
    learning_rate: float,
) -> tuple[float, int]:
    model, optimizer = trainer.model, trainer.optimizer
    result = run(model.spec, model.parameters, inputs, True, False, dropout)
    _, gradients = loss_and_gradients(model, inputs, labels, trainer.loss, dropout)
    trained = {path: model.parameters[path] for path in trainer.m}
    prepared = prepare_gradients(np, optimizer, trained, {path: gradients[path] for path in trained})
    averages = current_averages(trainer)
    trainer.step += 1
    numbers = adam_numbers(optimizer, trainer.step, learning_rate)
    trained, trainer.m, trainer.v = adam_update(np, optimizer, trained, prepared, trainer.m, trainer.v, numbers)
    trainer.a = average_update(optimizer, averages, trained)
    moved = {path: new for path, new in result.updated.items() if path not in trainer.frozen}
    model.parameters |= trained | {path: new.astype(model.dtype) for path, new in moved.items()}
    best_class = result.logits.argmax(axis=1)
    hits = best_class == labels if labels.ndim == 1 else labels[np.arange(len(labels)), best_class] > 0
    return float(loss_of(trainer.loss, result.logits, result.output, labels)), int(hits.sum())


def current_averages(trainer: Trainer) -> dict[str, Array]:
    """The averages; before the first step they are the weights."""
    if not trainer.optimizer.average_decay:
        return {}
    return trainer.a or {path: trainer.model.parameters[path] for path in trainer.m}


def dump_optimizer(trainer: Trainer) -> dict[str, Array]:
    averages = {f"a.{path}": value.copy() for path, value in current_averages(trainer).items()}
    return dump_moments(trainer.m, trainer.v, trainer.step) | averages


def load_optimizer(trainer: Trainer, state: Mapping[str, Array]) -> None:
    m, v, trainer.step = split_moments(state)
    trainer.m, trainer.v = ({path: part[path] for path in trainer.m} for part in (m, v))
    if trainer.optimizer.average_decay:
        trainer.a = {path: np.array(state[f"a.{path}"]) for path in trainer.m}
