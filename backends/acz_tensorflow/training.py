"""Losses, gradients and Adam steps in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from acz.backend.native_layers import native_losses
from acz.foundation.arrays import Array
from acz.model.loss_scale import LossScale, scale_for
from acz.model.losses import ALPHA, EPSILON, find_loss
from acz.model.optimizer import Adam
from acz_tensorflow.base import Call
from acz_tensorflow.model import Graphs, Model, Tensors, low_of, to_device
from acz_tensorflow.processes import sum_gradients


def videos_of(logits: Tensor) -> Tensor:
    return tf.cast(tf.shape(logits)[0], logits.dtype)


def softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def multilabel_softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = tf.cast(labels, logits.dtype)
    shares = labels / tf.maximum(tf.reduce_sum(labels, 1, keepdims=True), 1.0)
    # not softmax_cross_entropy_with_logits, whose gradient takes it that shares sum to 1: of no label they don't
    return -tf.reduce_sum(shares * tf.nn.log_softmax(logits)) / videos_of(logits)


def rated(labels: Tensor) -> Tensor:
    """1 where a label is rated, else 0: a label below 0 has no rating and adds nothing to a loss."""
    return tf.cast(labels >= 0, labels.dtype)


def sigmoid_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = tf.cast(labels, logits.dtype)
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.reduce_sum(rated(labels) * each) / videos_of(logits)


def probability_cross_entropy(model: Model, logits: Tensor, labels: Tensor, alpha: float = ALPHA) -> Tensor:
    output, labels = model.finish(logits), tf.cast(labels, logits.dtype)
    rest = tf.maximum(1 - output, -1.0)  # which it never is; else TensorFlow computes (1 + EPSILON) - output
    wanted, others = 2 * alpha * labels, 2 * (1 - alpha) * (1 - labels)
    each = -wanted * tf.math.log(output + EPSILON) - others * tf.math.log(rest + EPSILON)
    return tf.reduce_sum(rated(labels) * each) / videos_of(logits)


def hinge(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    output, labels = model.finish(logits), tf.cast(labels, logits.dtype)
    return tf.reduce_sum(rated(labels) * tf.nn.relu(1 - (2 * labels - 1) * output)) / videos_of(logits)


def projection(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return tf.reduce_sum(model.finish(logits) * tf.cast(labels, logits.dtype))


LOSSES: dict[str, Callable[[Model, Tensor, Tensor], Tensor]] = native_losses(globals())
"""Losses by name, of logits (videos, classes) and labels. Formulas are those of acz.model.losses."""


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """The number of videos whose best class is a label."""
    best = tf.argmax(logits, -1)
    if len(labels.shape) == 1:
        return tf.math.count_nonzero(best == tf.cast(labels, best.dtype))
    return tf.math.count_nonzero(tf.gather(labels, best, batch_dims=1) > 0)


def trained_variables(model: Model) -> dict[str, tf.Variable]:
    return {path: variable.value for path, variable in model.state.items() if variable.trainable}


def loss_and_gradients(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array,
    loss: str,
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
) -> tuple[float, dict[str, Array]]:
    def run(fed: Tensors, labels: Tensors, dropout: Tensors) -> tuple[Tensor, dict[str, Tensor]]:
        floats = {name: fed[name] for name in model.spec.inputs if name in fed and fed[name].dtype.is_floating}
        wanted = trained_variables(model) | floats
        with tf.GradientTape() as tape:
            tape.watch(list(wanted.values()))
            value = LOSSES[loss](model, model.logits(fed, Call(training, dropout=dropout)), labels["labels"])
        gradients = tape.gradient(value, list(wanted.values()), unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return value, dict(zip(wanted, gradients, strict=True))

    groups = (to_device(model, group) for group in (inputs, {"labels": labels}, dropout or {}))
    value, gradients = model.graphs(run, ("gradients", loss, training), *groups)
    return float(value), {path: gradient.numpy() for path, gradient in gradients.items()}


@dataclass
class Trainer:
    """The model, and Adam's state by path."""

    model: Model
    optimizer: Adam
    loss: str
    graphs: Graphs
    trained: dict[str, tf.Variable]
    m: dict[str, tf.Variable]
    v: dict[str, tf.Variable]
    kept: list[keras.Variable]
    """The statistics that stay."""
    averages: dict[str, tf.Variable]
    """Averages of the trained parameters by path; empty without a decay."""
    scale: LossScale | None
    step: int = 0


def start_training(model: Model, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Trainer:
    trained = {path: value for path, value in trained_variables(model).items() if path not in frozen}
    kept = [model.state[path] for path in model.spec.statistics if path in frozen]
    with tf.device(model.device):
        m, v, averages = (
            {path: tf.Variable(tf.zeros_like(value), trainable=False) for path, value in values.items()}
            for values in (trained, trained, trained if optimizer.average_decay else {})
        )
    return Trainer(
        model, optimizer, loss, Graphs(model.device), trained, m, v, kept, averages, scale_for(low_of(model))
    )


def training_step(
    trainer: Trainer,
    inputs: Mapping[str, Array],
    labels: Array,
    dropout: Mapping[str, Array],
    learning_rate: float,
    videos: int | None = None,
) -> tuple[Tensor, Tensor]:
    shared = videos is not None

    scale = trainer.scale

    def run(fed: Tensors, labels: Tensors, dropout: Tensors, numbers: Tensors) -> tuple[Tensor, Tensor, Tensor]:
        statistics = [trainer.model.state[path] for path in trainer.model.spec.statistics] if scale else trainer.kept
        kept = [tf.identity(variable.value) for variable in statistics]
        trained = list(trainer.trained.values())
        with tf.GradientTape() as tape:
            logits = trainer.model.logits(fed, Call(True, dropout=dropout, shared=shared))
            value = LOSSES[trainer.loss](trainer.model, logits, labels["labels"])
            if shared:
                value *= numbers["share"]
            scaled = value * numbers["scale"] if scale else value
        gradients, right = tape.gradient(scaled, trained), hits(logits, labels["labels"])
        if shared:
            gradients = [tf.reshape(g, w.shape) for g, w in zip(gradients, trained, strict=True)]
            gradients, together = sum_gradients(gradients, tf.stack([value, tf.cast(right, value.dtype)]))
            value, right = together[0], together[1]
        if not scale:
            update(trainer, prepare(trainer, gradients), numbers)
            for variable, before in zip(statistics, kept, strict=True):
                variable.assign(before)
            return value, right, True
        gradients = [gradient * (1.0 / numbers["scale"]) for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])

        def step() -> Tensor:
            update(trainer, prepare(trainer, gradients), numbers)
            return tf.constant(True)

        tf.cond(finite, step, lambda: tf.constant(False))
        for variable, before in zip(statistics, kept, strict=True):
            stays = variable in trainer.kept
            variable.assign(before if stays else tf.where(finite, variable.value, before))
        return value, right, finite

    if trainer.step == 0:
        begin_averages(trainer)
    trainer.step += 1
    numbers = numbers_of(trainer, learning_rate)
    if scale:
        numbers["scale"] = np.array(scale.scale, trainer.model.dtype)
    if videos is not None:
        share = find_loss(trainer.loss).share(len(labels), videos)
        numbers["share"] = np.array(share, trainer.model.dtype)
    groups = (inputs, {"labels": labels}, dropout, numbers)
    value, right, finite = trainer.graphs(run, (), *(to_device(trainer.model, group) for group in groups))
    if scale:
        trainer.step -= not bool(finite)
        scale.update(bool(finite))
    return value, right


def begin_averages(trainer: Trainer) -> None:
    """Before the first step the averages are the weights."""
    for path, average in trainer.averages.items():
        average.assign(trainer.trained[path])


def prepare(trainer: Trainer, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
    """Penalty and clipping of the gradients."""
    settings, penalties = trainer.optimizer, trainer.optimizer.penalties(trainer.trained)
    gradients = [
        g + w * penalties[path] if path in penalties else g
        for (path, w), g in zip(trainer.trained.items(), gradients, strict=True)
    ]
    if settings.clip_norm is not None:
        gradients = [tf.clip_by_norm(gradient, settings.clip_norm) for gradient in gradients]
    if settings.clip_global_norm is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, settings.clip_global_norm)
    return gradients


def numbers_of(trainer: Trainer, learning_rate: float) -> dict[str, Array]:
    """The factors of Adam that change from step to step: computed in float64 here, and no reason to trace again."""
    optimizer, step = trainer.optimizer, trainer.step
    numbers = {
        "rate": learning_rate * np.sqrt(1 - optimizer.beta2**step) / (1 - optimizer.beta1**step),
        "epsilon": optimizer.outside_epsilon(step),
        "kept": 1 - learning_rate * optimizer.weight_decay,
    }
    return {name: np.array(value, trainer.model.dtype) for name, value in numbers.items()}


def update(trainer: Trainer, gradients: Sequence[Tensor], numbers: Tensors) -> None:
    """One step of Adam by TensorFlow's kernel. Its powers of beta are zero: `rate` has the correction already."""
    optimizer = trainer.optimizer
    for (path, value), gradient in zip(trainer.trained.items(), gradients, strict=True):
        if optimizer.weight_decay and optimizer.decoupled:
            value.assign(value * numbers["kept"])
        elif optimizer.weight_decay:
            gradient = gradient + value * optimizer.weight_decay
        tf.raw_ops.ResourceApplyAdam(
            var=value.handle,
            m=trainer.m[path].handle,
            v=trainer.v[path].handle,
            beta1_power=tf.zeros((), value.dtype),
            beta2_power=tf.zeros((), value.dtype),
            lr=numbers["rate"],
            beta1=tf.constant(optimizer.beta1, value.dtype),
            beta2=tf.constant(optimizer.beta2, value.dtype),
            epsilon=numbers["epsilon"],
            grad=gradient,
        )
    for path, average in trainer.averages.items():
        average.assign_add((trainer.trained[path] - average) * (1 - optimizer.average_decay))


def dump_optimizer(trainer: Trainer) -> dict[str, Array]:
    found = {"step": np.array(trainer.step, dtype=np.int64)} | (trainer.scale.dump() if trainer.scale else {})
    for path in trainer.trained:
        found[f"m.{path}"] = trainer.m[path].numpy()
        found[f"v.{path}"] = trainer.v[path].numpy()
    if trainer.step == 0:
        begin_averages(trainer)
    return found | {f"a.{path}": average.numpy() for path, average in trainer.averages.items()}


def load_optimizer(trainer: Trainer, state: Mapping[str, Array]) -> None:
    trainer.step = int(state["step"])
    if trainer.scale:
        trainer.scale.load(state)
    for path in trainer.trained:
        trainer.m[path].assign(state[f"m.{path}"])
        trainer.v[path].assign(state[f"v.{path}"])
    for path, average in trainer.averages.items():
        average.assign(state[f"a.{path}"])
