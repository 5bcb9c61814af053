"""Losses, gradients and Adam steps in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acz.backend.native_layers import native_losses
from acz.foundation.arrays import Array
from acz.model.loss_scale import LossScale, scale_for
from acz.model.losses import ALPHA, EPSILON, find_loss
from acz.model.optimizer import Adam
from acz_torch.base import Call
from acz_torch.model import Model, low_of, to_device
from acz_torch.processes import GradientSums


def softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels)


def multilabel_softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.to(logits.dtype)
    return F.cross_entropy(logits, labels / labels.sum(1, keepdim=True).clamp_min(1.0))


def rated(labels: Tensor) -> Tensor:
    """1 where a label is rated, else 0: a label below 0 has no rating and adds nothing to a loss."""
    return (labels >= 0).to(labels.dtype)


def sigmoid_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, labels, rated(labels), reduction="sum") / len(logits)


def probability_cross_entropy(model: Model, logits: Tensor, labels: Tensor, alpha: float = ALPHA) -> Tensor:
    output, labels = model.finish(logits), labels.to(logits.dtype)
    wanted, others = 2 * alpha * labels, 2 * (1 - alpha) * (1 - labels)
    each = -wanted * torch.log(output + EPSILON) - others * torch.log(1 - output + EPSILON)
    return (rated(labels) * each).sum() / len(logits)


def hinge(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    output, labels = model.finish(logits), labels.to(logits.dtype)
    return (rated(labels) * F.relu(1 - (2 * labels - 1) * output)).sum() / len(logits)


def projection(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return (model.finish(logits) * labels.to(logits.dtype)).sum()


LOSSES: dict[str, Callable[[Model, Tensor, Tensor], Tensor]] = native_losses(globals())
"""Losses by name, of logits (videos, classes) and labels. Formulas are those of acz.model.losses."""


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """The number of videos whose best class is a label."""
    best = logits.argmax(-1)
    if labels.ndim == 1:
        return (best == labels).sum()
    return (labels.gather(1, best[:, None]) > 0).sum()


def loss_and_gradients(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array,
    loss: str,
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
) -> tuple[float, dict[str, Array]]:
    model.train(training)
    fed = to_device(model, inputs)
    wanted = {path: value for path, value in model.named_parameters() if value.requires_grad}
    for name, value in fed.items():
        if value.is_floating_point():
            fed[name] = wanted[name] = value.clone().requires_grad_()
    call = Call(dropout=to_device(model, dropout or {}))
    logits = model.logits(fed, call)
    value = LOSSES[loss](model, logits, to_device(model, {"labels": labels})["labels"])
    gradients = torch.autograd.grad(value, list(wanted.values()), materialize_grads=True)
    model.eval()
    return float(value), {path: g.cpu().numpy() for path, g in zip(wanted, gradients, strict=True)}


@dataclass
class Trainer:
    """The model, PyTorch's Adam, and what is done to gradients before it: `penalties` by path, and the settings' clipping."""

    model: Model
    optimizer: torch.optim.Optimizer
    settings: Adam
    penalties: dict[str, float]
    loss: str
    kept: list[str]
    """Paths of the statistics that stay."""
    averages: dict[str, Tensor]
    """Averages of the trained parameters by path; empty without a decay."""
    scale: LossScale | None


def start_training(model: Model, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Trainer:
    for path in model.spec.trained:
        model.get_parameter(path).requires_grad_(path not in frozen)
    kind = torch.optim.AdamW if optimizer.decoupled else torch.optim.Adam
    trained = {path: p for path, p in model.named_parameters() if p.requires_grad}
    native = kind(
        trained.values(),
        lr=optimizer.learning_rate,
        betas=(optimizer.beta1, optimizer.beta2),
        eps=optimizer.epsilon,
        weight_decay=optimizer.weight_decay,
        fused=True,
    )
    kept = [path for path in model.spec.statistics if path in frozen]
    averages = {path: p.detach().clone() for path, p in trained.items()} if optimizer.average_decay else {}
    penalties, scale = optimizer.penalties(trained), scale_for(low_of(model))
    return Trainer(model, native, optimizer, penalties, loss, kept, averages, scale)


def training_step(
    trainer: Trainer,
    inputs: Mapping[str, Array],
    labels: Array,
    dropout: Mapping[str, Array],
    learning_rate: float,
    videos: int | None = None,
) -> tuple[Tensor, Tensor]:
    model, optimizer = trainer.model, trainer.optimizer
    model.train()
    fed, answers = to_device(model, inputs), to_device(model, {"labels": labels})["labels"]
    call = Call(dropout=to_device(model, dropout), shared=videos is not None)
    scale = trainer.scale
    kept = {path: model.state_dict()[path].clone() for path in (model.spec.statistics if scale else trainer.kept)}
    logits = model.logits(fed, call)
    value = LOSSES[trainer.loss](model, logits, answers)
    right = hits(logits.detach(), answers)
    factor = scale.scale if scale else 1.0
    if videos is None:
        (value * factor).backward()
    else:
        value = value * find_loss(trainer.loss).share(len(answers), videos)
        numbers = torch.stack([value.detach().double(), right.double()])
        with GradientSums(optimizer.param_groups[0]["params"], numbers):
            (value * factor).backward()
        value, right = numbers
    finite = scale is None or unscale(trainer, factor)
    if finite:
        prepare(trainer)
        if not optimizer.state:
            begin_averages(trainer)
        optimizer.param_groups[0]["lr"] = learning_rate
        optimizer.step()
        for path, average in trainer.averages.items():
            average.lerp_(model.get_parameter(path).detach(), 1 - trainer.settings.average_decay)
        kept = {path: kept[path] for path in trainer.kept}
    optimizer.zero_grad()
    if kept:
        model.load_state_dict(kept, strict=False)
    if scale:
        scale.update(finite)
    return value.detach(), right


def unscale(trainer: Trainer, factor: float) -> bool:
    """Divide the gradients by the factor of the loss, in place; tells whether all are finite."""
    gradients = [p.grad for p in trainer.optimizer.param_groups[0]["params"]]
    for gradient in gradients:
        gradient.mul_(1.0 / factor)
    return bool(torch.stack([torch.isfinite(gradient).all() for gradient in gradients]).all())


def begin_averages(trainer: Trainer) -> None:
    """Before the first step the averages are the weights."""
    for path, average in trainer.averages.items():
        average.copy_(trainer.model.get_parameter(path).detach())


def prepare(trainer: Trainer) -> None:
    """Penalty and clipping of the gradients, in place."""
    settings = trainer.settings
    for path, factor in trainer.penalties.items():
        w = trainer.model.get_parameter(path)
        w.grad.add_(w.detach(), alpha=factor)
    gradients = [p.grad for p in trainer.optimizer.param_groups[0]["params"]]
    if settings.clip_norm is not None:
        for gradient in gradients:
            shrink([gradient], settings.clip_norm)
    if settings.clip_global_norm is not None:
        shrink(gradients, settings.clip_global_norm)


def shrink(gradients: list[Tensor], limit: float) -> None:
    """Scale tensors by one factor, so that their norm together is `limit` at most."""
    factor = limit / nn.utils.get_total_norm(gradients).clamp_min(limit)
    for gradient in gradients:
        gradient.mul_(factor)


def dump_optimizer(trainer: Trainer) -> dict[str, Array]:
    found = {"step": np.array(0, dtype=np.int64)} | (trainer.scale.dump() if trainer.scale else {})
    if not trainer.optimizer.state:
        begin_averages(trainer)
    found |= {f"a.{path}": average.cpu().numpy().copy() for path, average in trainer.averages.items()}
    for path, parameter in trainer.model.named_parameters():
        if not parameter.requires_grad:
            continue
        state = trainer.optimizer.state.get(parameter)
        if not state:
            found[f"m.{path}"] = found[f"v.{path}"] = np.zeros(parameter.shape, parameter.detach().cpu().numpy().dtype)
            continue
        found["step"] = np.array(int(state["step"]), dtype=np.int64)
        found[f"m.{path}"] = state["exp_avg"].cpu().numpy().copy()
        found[f"v.{path}"] = state["exp_avg_sq"].cpu().numpy().copy()
    return found


def load_optimizer(trainer: Trainer, state: Mapping[str, Array]) -> None:
    if trainer.scale:
        trainer.scale.load(state)
    for path, average in trainer.averages.items():
        average.copy_(torch.from_numpy(np.array(state[f"a.{path}"])))
    for path, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            trainer.optimizer.state[parameter] = {
                "step": torch.tensor(float(state["step"]), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.from_numpy(np.array(state[f"m.{path}"])).to(parameter.device),
                "exp_avg_sq": torch.from_numpy(np.array(state[f"v.{path}"])).to(parameter.device),
            }
