"""Losses, gradients and Adam steps in MindSpore."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from acz.backend.native_layers import native_losses
from acz.backend.processes import fill_buckets
from acz.foundation.arrays import Array
from acz.foundation.processes.silence import silence_output
from acz.model.loss_scale import LossScale, scale_for
from acz.model.losses import ALPHA, EPSILON, find_loss
from acz.model.optimizer import Adam
from acz_mindspore.base import log_softmax, number
from acz_mindspore.devices import in_mode
from acz_mindspore.model import Model, load_parameters, low_of, to_device
from acz_mindspore.processes import BUCKET, Total


def softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return -ops.gather_elements(log_softmax(logits), 1, labels.expand_dims(1)).mean()


def multilabel_softmax_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.astype(logits.dtype)
    shares = labels / ops.maximum(labels.sum(1, keepdims=True), 1.0)
    return -(shares * log_softmax(logits)).sum() / len(logits)


def rated(labels: Tensor) -> Tensor:
    """1 where a label is rated, else 0: a label below 0 has no rating and adds nothing to a loss."""
    return (labels >= 0.0).astype(labels.dtype)


def sigmoid_cross_entropy(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    labels = labels.astype(logits.dtype)
    size = ops.abs(logits)
    each = (logits + size) * 0.5 - logits * labels + ops.log1p(ops.exp(-size))
    return (rated(labels) * each).sum() / len(logits)


def probability_cross_entropy(model: Model, logits: Tensor, labels: Tensor, alpha: float = ALPHA) -> Tensor:
    output, labels = model.finish(logits), labels.astype(logits.dtype)
    epsilon, share = number(EPSILON, logits), number(alpha, logits)  # a graph computes with numbers in float32
    wanted, others = 2.0 * share * labels, 2.0 * (1.0 - share) * (1.0 - labels)
    each = -ops.xlogy(wanted, output + epsilon) - ops.xlogy(others, 1.0 - output + epsilon)  # as log_softmax says
    return (rated(labels) * each).sum() / len(logits)


def hinge(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    output, labels = model.finish(logits), labels.astype(logits.dtype)
    return (rated(labels) * ops.relu(1.0 - (2.0 * labels - 1.0) * output)).sum() / len(logits)


def projection(model: Model, logits: Tensor, labels: Tensor) -> Tensor:
    return (model.finish(logits) * labels.astype(logits.dtype)).sum()


LOSSES: dict[str, Callable[[Model, Tensor, Tensor], Tensor]] = native_losses(globals())
"""Losses by name, of logits (videos, classes) and labels. Formulas are those of acz.model.losses."""


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """The number of videos whose best class is a label."""
    best = logits.argmax(-1)
    if labels.ndim == 1:
        return (best == labels).sum()
    return (ops.gather_elements(labels, 1, best.expand_dims(1)) > 0).sum()


def trained_parameters(model: Model) -> list[Parameter]:
    return [p for p in model.get_parameters() if p.requires_grad]


def loss_and_gradients(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array,
    loss: str,
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
) -> tuple[float, dict[str, Array]]:
    loss_of = LOSSES[loss]  # an error inside of `run` would leave MindSpore unable to differentiate
    model.set_train(training)
    fed, masks = to_device(model, inputs), to_device(model, dropout or {})
    answers = to_device(model, {"labels": labels})["labels"]
    floats = [name for name, value in fed.items() if value.is_floating_point()]
    trained = trained_parameters(model)

    def run(*values: Tensor) -> Tensor:
        logits = model.logits({**fed, **dict(zip(floats, values, strict=True))}, masks)
        return loss_of(model, logits, answers)

    positions = tuple(range(len(floats))) if floats else None
    with in_mode(ms.PYNATIVE_MODE):
        value, gradients = ms.value_and_grad(run, positions, trained)(*(fed[name] for name in floats))
    by_input, by_parameter = gradients if floats else ((), gradients)
    by_input = by_input if isinstance(by_input, tuple) else (by_input,)  # one input's comes bare
    model.set_train(False)
    wanted = [*(p.name for p in trained), *floats]
    return float(value), {path: g.asnumpy() for path, g in zip(wanted, (*by_parameter, *by_input), strict=True)}


def shrinking(gradients: tuple[Tensor, ...], limit: float) -> Tensor:
    """The factor under which the norm of tensors together is `limit` at most."""
    total = number(0.0, gradients[0])
    for gradient in gradients:
        total = total + ops.square(gradient.reshape((-1,))).sum()
    most = number(limit, gradients[0])
    return most / ops.maximum(ops.sqrt(total), most)


class Gradients(nn.Cell):
    """Loss, hits and gradients of a batch. Inputs and dropout masks come by position, in the order of their names.

    Where several processes share a batch, or the loss is scaled, its factor comes after them.
    """

    def __init__(self, trainer: Trainer, inputs: tuple[str, ...], masks: tuple[str, ...], shared: bool) -> None:
        super().__init__(auto_prefix=False)
        self.scaled = shared or trainer.scale is not None
        self.model, self.loss = trainer.model, LOSSES[trainer.loss]
        self.inputs, self.masks, self.shared = inputs, masks, shared
        self.trained = ParameterTuple(trainer.trained)
        self.gradients = ms.value_and_grad(self.run, None, self.trained, has_aux=True)
        sizes = [0, *(p.nbytes for p in trainer.trained)]  # loss and hits come before the gradients
        self.total, self.buckets = Total(), fill_buckets(sizes, BUCKET)

    def run(self, labels: Tensor, values: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        inputs, masks = {}, {}
        for i in range(len(self.inputs)):
            inputs[self.inputs[i]] = values[i]
        for i in range(len(self.masks)):
            masks[self.masks[i]] = values[len(self.inputs) + i]
        logits = self.model.logits(inputs, masks, self.shared)
        loss = self.loss(self.model, logits, labels)
        return loss * values[-1] if self.scaled else loss, logits

    def construct(self, labels: Tensor, *values: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        (loss, logits), gradients = self.gradients(labels, values)
        right = hits(logits, labels)
        return self.over_processes(loss, right, gradients) if self.shared else (loss, right, gradients)

    def over_processes(
        self, loss: Tensor, right: Tensor, gradients: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The sums over all processes of the loss, the hits and the gradients."""
        values = (ops.stack((loss, right.astype(loss.dtype))), *gradients)
        summed: tuple[Tensor, ...] = ()
        for bucket in self.buckets:
            flat: tuple[Tensor, ...] = ()
            for i in bucket:
                flat += (values[i].reshape((-1,)),)
            row, place = self.total(ops.cat(flat, 0)), 0
            for j in range(len(bucket)):
                size = flat[j].shape[0]
                summed += (row[place : place + size].reshape(values[bucket[j]].shape),)
                place += size
        return summed[0][0], summed[0][1], summed[1:]


class Update(nn.Cell):
    """The step of the trained parameters by their gradients."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(auto_prefix=False)
        self.model, optimizer = trainer.model, trainer.optimizer
        self.trained, self.m, self.v = (ParameterTuple(p) for p in (trainer.trained, trainer.m, trainer.v))
        self.adam = ops.Adam()
        self.beta1, self.beta2, self.weight_decay = (
            Tensor(n, self.model.dtype) for n in (optimizer.beta1, optimizer.beta2, optimizer.weight_decay)
        )
        self.shrinks = bool(optimizer.weight_decay) and optimizer.decoupled
        self.decays = bool(optimizer.weight_decay) and not optimizer.decoupled
        self.clip_norm, self.clip_global_norm = optimizer.clip_norm, optimizer.clip_global_norm
        penalties = optimizer.penalties(self.model.spec.trained)
        self.penalties = tuple(Tensor(penalties.get(p.name, 0.0), self.model.dtype) for p in self.trained)
        self.penalized = tuple(p.name in penalties for p in self.trained)

    def construct(self, rate: Tensor, epsilon: Tensor, shrink: Tensor, *gradients: Tensor) -> None:
        prepared = self.prepare(gradients)
        for i in range(len(self.trained)):
            self.update(self.trained[i], self.m[i], self.v[i], prepared[i], rate, epsilon, shrink)

    def prepare(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Penalty and clipping of the gradients."""
        found: tuple[Tensor, ...] = ()
        clipped: tuple[Tensor, ...] = ()
        for i in range(len(gradients)):
            gradient = gradients[i]
            if self.penalized[i]:
                gradient = gradient + self.trained[i] * self.penalties[i]
            if self.clip_norm is not None:
                gradient = gradient * shrinking((gradient,), self.clip_norm)
            found += (gradient,)
        if self.clip_global_norm is None:
            return found
        factor = shrinking(found, self.clip_global_norm)
        for gradient in found:
            clipped += (gradient * factor,)
        return clipped

    def update(
        self, w: Parameter, m: Parameter, v: Parameter, gradient: Tensor, rate: Tensor, epsilon: Tensor, shrink: Tensor
    ) -> None:
        """Adam as acz.model.optimizer has it; `rate` is corrected for both moments, so that their powers are left out."""
        decayed = w * shrink if self.shrinks else w
        if self.decays:
            gradient = gradient + w * self.weight_decay
        if self.model.dtype == ms.float32:
            if self.shrinks:
                ops.assign(w, decayed)
            self.adam(w, m, v, 0.0, 0.0, rate, self.beta1, self.beta2, epsilon, gradient)
            return
        # which the kernel does not take; what was assigned must not be read here: a graph would round it to float32
        square = gradient * gradient
        m_new = gradient + (m - gradient) * self.beta1
        v_new = square + (v - square) * self.beta2
        ops.assign(m, m_new)
        ops.assign(v, v_new)
        ops.assign(w, decayed - rate * m_new / (ops.sqrt(v_new) + epsilon))


class Averages(nn.Cell):
    """The step of the averages after that of the parameters, in a graph of its own.

    A graph that assigns to a parameter and reads it again would round it to float32.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(auto_prefix=False)
        self.trained, self.averages = ParameterTuple(trainer.trained), ParameterTuple(trainer.averages)
        self.share = Tensor(1 - trainer.optimizer.average_decay, trainer.model.dtype)

    def construct(self) -> None:
        for i in range(len(self.trained)):
            ops.assign(self.averages[i], self.averages[i] + (self.trained[i] - self.averages[i]) * self.share)


class Step(nn.Cell):
    """A step of training as one graph.

    Several processes run its two parts as two graphs: one that both sums over processes and assigns to parameters reads them
    through a copy, which MindSpore makes in float32 on a CPU.
    """

    def __init__(self, trainer: Trainer, inputs: tuple[str, ...], masks: tuple[str, ...], shared: bool) -> None:
        super().__init__(auto_prefix=False)
        self.gradients, self.update = Gradients(trainer, inputs, masks, shared), Update(trainer)

    def construct(
        self, rate: Tensor, epsilon: Tensor, shrink: Tensor, labels: Tensor, *values: Tensor
    ) -> tuple[Tensor, Tensor]:
        loss, right, gradients = self.gradients(labels, *values)
        self.update(rate, epsilon, shrink, *gradients)
        return loss, right


@dataclass
class Trainer:
    """The model, Adam's moments in the trained parameters' order, and graphs of the step by names of what they take."""

    model: Model
    optimizer: Adam
    loss: str
    trained: list[Parameter]
    m: list[Parameter]
    v: list[Parameter]
    kept: list[str]
    """Paths of the statistics that stay."""
    averages: list[Parameter]
    """Averages of the trained parameters, in their order; none without a decay."""
    scale: LossScale | None
    step: int = 0
    graphs: dict[tuple[tuple[str, ...], tuple[str, ...], bool], Step] = field(default_factory=dict)
    average: Averages | None = None


def start_training(model: Model, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Trainer:
    trained = [p for p in trained_parameters(model) if p.name not in frozen]
    kept = [path for path in model.spec.statistics if path in frozen]
    m, v, averages = (
        [Parameter(ops.zeros_like(p), f"{name}.{p.name}", False) for p in values]
        for name, values in (("m", trained), ("v", trained), ("a", trained if optimizer.average_decay else []))
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
    model, optimizer, scale, finite = trainer.model, trainer.optimizer, trainer.scale, True
    names = tuple(inputs), tuple(dropout), videos is not None
    first = names not in trainer.graphs
    if first:
        gc.collect()  # an earlier trainer's graphs: should they go while this one's is compiled, it is compiled again
        trainer.graphs[names] = Step(trainer, *names)
    graph = trainer.graphs[names].set_train()
    if trainer.averages and trainer.average is None:
        trainer.average = Averages(trainer)
    if trainer.step == 0:
        begin_averages(trainer)
    trainer.step += 1
    corrected = learning_rate * np.sqrt(1 - optimizer.beta2**trainer.step) / (1 - optimizer.beta1**trainer.step)
    numbers = corrected, optimizer.outside_epsilon(trainer.step), 1 - learning_rate * optimizer.weight_decay
    scalars = [Tensor(number, model.dtype) for number in numbers]
    fed, masks = to_device(model, inputs), to_device(model, dropout)
    answers = to_device(model, {"labels": labels})["labels"]
    with in_mode(ms.GRAPH_MODE), silence_output() if first else nullcontext():  # MindSpore warns of few threads
        own = model.spec.statistics if scale else trainer.kept
        kept = {path: model.parameters_dict()[path].asnumpy().copy() for path in own}
        if videos is None and scale is None:
            answer = graph(*scalars, answers, *fed.values(), *masks.values())
        else:
            factor = scale.scale if scale else 1.0
            share = 1.0 if videos is None else find_loss(trainer.loss).share(len(labels), videos)
            given = (*fed.values(), *masks.values(), Tensor(share * factor, model.dtype))
            loss, right, gradients = graph.gradients(answers, *given)
            answer = loss / factor, right
            gradients = tuple(gradient / factor for gradient in gradients) if scale else gradients
            finite = scale is None or all(np.isfinite(gradient.asnumpy()).all() for gradient in gradients)
            if finite:
                graph.update(*scalars, *gradients)
                kept = {path: kept[path] for path in trainer.kept}
        if trainer.average is not None and finite:
            trainer.average()
    if kept:
        load_parameters(model, kept)
    if scale:
        trainer.step -= not finite
        scale.update(finite)
    return answer


def begin_averages(trainer: Trainer) -> None:
    """Before the first step the averages are the weights."""
    for average, parameter in zip(trainer.averages, trainer.trained, strict=False):
        average.set_data(Tensor(parameter.asnumpy().copy()))


def dump_optimizer(trainer: Trainer) -> dict[str, Array]:
    if trainer.step == 0:
        begin_averages(trainer)
    found = {p.name: p.asnumpy().copy() for p in (*trainer.m, *trainer.v, *trainer.averages)}
    return found | {"step": np.array(trainer.step, dtype=np.int64)} | (trainer.scale.dump() if trainer.scale else {})


def load_optimizer(trainer: Trainer, state: Mapping[str, Array]) -> None:
    trainer.step = int(state["step"])
    if trainer.scale:
        trainer.scale.load(state)
    for moment in (*trainer.m, *trainer.v, *trainer.averages):
        moment.set_data(Tensor(np.array(state[moment.name])))
