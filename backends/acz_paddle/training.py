"""Losses, gradients and Adam steps in PaddlePaddle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, _C_ops

from acz.backend.native_layers import native_losses
from acz.foundation.arrays import Array
from acz.model.loss_scale import LossScale, scale_for
from acz.model.losses import ALPHA, EPSILON, find_loss
from acz.model.optimizer import Adam
from acz_paddle.base import Call, log_softmax
from acz_paddle.model import Model, load_parameters, low_of, to_device
from acz_paddle.processes import sum_gradients


def softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return -log_softmax(logits).take_along_axis(labels.unsqueeze(1), 1).mean()


def multilabel_softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.astype(logits.dtype)
    shares = labels / labels.sum(1, keepdim=True).clip(min=1.0)
    return -(shares * log_softmax(logits)).sum() / logits.shape[0]


def rated(labels: Tensor) -> Tensor:
    """1 where a label is rated, else 0: a label below 0 has no rating and adds nothing to a loss."""
    return (labels >= 0).astype(labels.dtype)


def sigmoid_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.astype(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, labels, rated(labels), reduction="sum") / logits.shape[0]


def probability_cross_entropy(model: Model, logits: Tensor, labels: Tensor, alpha: float = ALPHA) -> Tensor:
    output, labels = model.finish(logits), labels.astype(logits.dtype)
    wanted, others = 2 * alpha * labels, 2 * (1 - alpha) * (1 - labels)
    each = -wanted * paddle.log(output + EPSILON) - others * paddle.log(1 - output + EPSILON)
    return (rated(labels) * each).sum() / logits.shape[0]


def hinge(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    output, labels = model.finish(logits), labels.astype(logits.dtype)
    return (rated(labels) * F.relu(1 - (2 * labels - 1) * output)).sum() / logits.shape[0]


def projection(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return (model.finish(logits) * labels.astype(logits.dtype)).sum()


LOSSES: dict[str, Callable[[Model, Tensor, Tensor], Tensor]] = native_losses(globals())
"""Losses by name, of logits (videos, classes) and labels. Formulas are those of acz.model.losses."""


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """The number of videos whose best class is a label."""
    best = logits.argmax(-1)
    if labels.ndim == 1:
        return (best == labels).sum()
    return (labels.take_along_axis(best.unsqueeze(1), 1) > 0).sum()


def trained_parameters(model: Model) -> dict[str, Tensor]:
    return {path: value for path, value in model.named_parameters() if not value.stop_gradient}


def loss_and_gradients(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array,
    loss: str,
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
) -> tuple[float, dict[str, Array]]:
    model.train() if training else model.eval()
    fed = to_device(model, inputs)
    wanted = trained_parameters(model)
    for name, value in fed.items():
        if value.is_floating_point():
            value.stop_gradient = False
            wanted[name] = value
    call = Call(dropout=to_device(model, dropout or {}))
    logits = model.logits(fed, call)
    value = LOSSES[loss](model, logits, to_device(model, {"labels": labels})["labels"])
    gradients = paddle.grad(value, list(wanted.values()), allow_unused=True)
    model.eval()
    return float(value), {
        path: np.zeros(w.shape, value.numpy().dtype) if g is None else g.numpy()
        for (path, w), g in zip(wanted.items(), gradients, strict=True)
    }


@dataclass
class Trainer:
    """The model, and Adam's state by path. The moments are PaddlePaddle's, the count of steps is ours."""

    model: Model
    optimizer: Adam
    loss: str
    trained: dict[str, Tensor]
    m: dict[str, Tensor]
    v: dict[str, Tensor]
    kept: list[str]
    """Paths of the statistics that stay."""
    averages: dict[str, Tensor]
    """Averages of the trained parameters by path; empty without a decay."""
    scale: LossScale | None
    step: int = 0


def start_training(model: Model, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Trainer:
    trained = {path: value for path, value in trained_parameters(model).items() if path not in frozen}
    kept = [path for path in model.spec.statistics if path in frozen]
    m, v, averages = (
        {path: paddle.zeros_like(value) for path, value in values.items()}
        for values in (trained, trained, trained if optimizer.average_decay else {})
    )
    return Trainer(model, optimizer, loss, trained, m, v, kept, averages, scale_for(low_of(model)))


def training_step(
    trainer: Trainer,
    inputs: Mapping[str, Array],
    labels: Array,
    dropout: Mapping[str, Array],
    learning_rate: float,
    videos: int | None = None,
) -> tuple[Tensor, Tensor]:
    model = trainer.model
    model.train()
    fed = to_device(model, {**inputs, "labels": labels})
    call = Call(dropout=to_device(model, dropout), shared=videos is not None)
    scale = trainer.scale
    kept = {path: model.state_dict()[path].clone() for path in (model.spec.statistics if scale else trainer.kept)}
    logits = model.logits(fed, call)
    value = LOSSES[trainer.loss](model, logits, fed["labels"])
    right = hits(logits.detach(), fed["labels"])
    if videos is not None:
        value = value * find_loss(trainer.loss).share(len(labels), videos)
    factor = scale.scale if scale else 1.0
    gradients = paddle.grad(value * factor if scale else value, list(trainer.trained.values()))
    value = value.detach()
    if videos is not None:
        numbers = paddle.stack([value.astype("float64"), right.astype("float64")])
        gradients = sum_gradients(gradients, numbers)
        value, right = numbers[0], numbers[1]
    finite = scale is None or unscale(gradients, factor)
    if finite:
        prepare(trainer, gradients)
        if trainer.step == 0:
            begin_averages(trainer)
        update(trainer, gradients, learning_rate)
        kept = {path: kept[path] for path in trainer.kept}
    if kept:
        load_parameters(model, kept)
    if scale:
        scale.update(finite)
    return value, right


def unscale(gradients: list[Tensor], factor: float) -> bool:
    """Divide the gradients by the factor of the loss, in place; tells whether all are finite."""
    with paddle.no_grad():
        for gradient in gradients:
            gradient.scale_(1.0 / factor)
    return all(bool(paddle.isfinite(gradient).all()) for gradient in gradients)


def begin_averages(trainer: Trainer) -> None:
    """Before the first step the averages are the weights."""
    for path, average in trainer.averages.items():
        average.set_value(trainer.trained[path])


def prepare(trainer: Trainer, gradients: list[Tensor]) -> None:
    """Penalty and clipping of the gradients, in place."""
    settings, penalties = trainer.optimizer, trainer.optimizer.penalties(trainer.trained)
    with paddle.no_grad():
        for (path, w), gradient in zip(trainer.trained.items(), gradients, strict=True):
            if path in penalties:
                gradient.add_(w * penalties[path])
        if settings.clip_norm is not None:
            for gradient in gradients:
                shrink([gradient], settings.clip_norm)
        if settings.clip_global_norm is not None:
            shrink(gradients, settings.clip_global_norm)


def shrink(gradients: list[Tensor], limit: float) -> None:
    """Scale tensors by one factor, so that their norm together is `limit` at most."""
    norm = paddle.sqrt(paddle.add_n([(g * g).sum() for g in gradients]))
    factor = limit / norm.clip(min=limit)
    for gradient in gradients:
        gradient.multiply_(factor)


def update(trainer: Trainer, gradients: list[Tensor], learning_rate: float) -> None:
    """One step of Adam, of all parameters in one call of PaddlePaddle's kernel."""
    optimizer, trained = trainer.optimizer, list(trainer.trained.values())
    trainer.step += 1
    with paddle.no_grad():
        if optimizer.weight_decay and optimizer.decoupled:
            for value in trained:
                value.scale_(1.0 - learning_rate * optimizer.weight_decay)
        elif optimizer.weight_decay:
            gradients = [g.add_(w * optimizer.weight_decay) for g, w in zip(gradients, trained, strict=True)]
    rate, beta1_power, beta2_power = (
        paddle.to_tensor([number], trainer.model.dtype, place=trainer.model.place)
        for number in (learning_rate, optimizer.beta1**trainer.step, optimizer.beta2**trainer.step)
    )
    _C_ops.merged_adam_(
        trained,
        gradients,
        [rate] * len(trained),
        list(trainer.m.values()),
        list(trainer.v.values()),
        None,  # the largest second moments of AMSGrad
        [beta1_power] * len(trained),
        [beta2_power] * len(trained),
        None,  # copies in float32 of half-precision parameters
        optimizer.beta1,
        optimizer.beta2,
        optimizer.epsilon,
        False,
        True,  # the powers of the betas are given, not kept
        False,
    )
    with paddle.no_grad():
        for path, average in trainer.averages.items():
            average.add_((trainer.trained[path] - average) * (1 - optimizer.average_decay))


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
        trainer.m[path].set_value(state[f"m.{path}"])
        trainer.v[path].set_value(state[f"v.{path}"])
    for path, average in trainer.averages.items():
        average.set_value(state[f"a.{path}"])
