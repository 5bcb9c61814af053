"""The reference behind the seam of a backend: for evaluation without a framework, and for tests of the comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError
from acz.model.loss_scale import LossScale, scale_for
from acz.model.losses import LOSSES
from acz.model.optimizer import Adam
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.reference import derivatives, execution
from acz.reference.products import Products
from acz.reference.ranking import top_classes

NAME = "numpy"
MOST_PARAMETERS = 20_000


@dataclass
class Model:
    """A spec with its parameters."""

    spec: Spec
    dtype: str
    parameters: dict[str, Array] = field(default_factory=dict)
    precision: Precision = Precision.FLOAT64
    """The precision of products; that of everything else is `dtype`."""
    draw: int = 0
    """The draw that moves operands before they are rounded; see acz.reference.products."""


@dataclass
class Trainer:
    """A model with Adam's state. Gradients are complex steps: small models only."""

    model: Model
    optimizer: Adam
    loss: str
    trained: list[str]
    kept: frozenset[str]
    """Paths of the statistics that stay."""
    scale: LossScale | None
    state: dict[str, Array] = field(default_factory=dict)
    step: int = 0


def versions() -> dict[str, str]:
    return {"numpy": np.__version__}


def devices() -> list[str]:
    return ["CPU"]


def capabilities() -> dict[str, str]:
    return {"devices": "CPU", "training": "small models only, by complex steps", "float64": "everything"}


def set_threads(count: int) -> None:
    """NumPy takes its threads from the environment."""


def build(spec: Spec, device: str, dtype: str) -> Model:
    precision = Precision(dtype)
    return Model(spec, precision.storage.name, precision=precision)


class ExactProducts:
    """The reference of a low precision: this module, but products of rounded operands are summed in float64.

    Args:
        draw: a draw that moves operands by float32's error before they are rounded; 0 moves nothing.
    """

    def __init__(self, draw: int = 0) -> None:
        self.draw = draw

    def __getattr__(self, name: str) -> Any:
        return globals()[name]

    def build(self, spec: Spec, device: str, dtype: str) -> Model:
        return Model(spec, "float64", precision=Precision(dtype), draw=self.draw)


def load_parameters(model: Model, parameters: Mapping[str, Array]) -> None:
    model.parameters = {path: np.array(value, dtype=model.dtype) for path, value in parameters.items()}


def dump_parameters(model: Model) -> dict[str, Array]:
    return {path: value.copy() for path, value in model.parameters.items()}


def forward(
    model: Model,
    inputs: Mapping[str, Array],
    training: bool = False,
    dropout: Mapping[str, Array] | None = None,
    record: Sequence[str] = (),
) -> dict[str, Array]:
    errors = operand_errors(model, inputs, None, "", dropout, training) if model.draw else {}
    products = Products(model.precision, model.draw, errors)
    result = execution.run(model.spec, model.parameters, inputs, training, bool(record), dropout, products=products)
    model.parameters |= {path: value.astype(model.dtype) for path, value in result.updated.items()}
    return {"output": result.output, "logits": result.logits} | {path: result.recorded[path] for path in record}


def call_in_training(model: Model, inputs: Mapping[str, Array]) -> Array:
    """The output in training mode, with dropout masks that are drawn here."""
    frames = {name: inputs[name].shape[1] for name, entry in model.spec.inputs.items() if entry.has_frames}
    videos, source = len(next(iter(inputs.values()))), np.random.default_rng()
    masks = {
        path: (source.random((videos, *shape)) >= rate).astype(np.uint8)
        for path, (shape, rate) in model.spec.dropout_masks(frames).items()
    }
    return forward(model, inputs, True, masks)["output"]


def forward_best(
    model: Model,
    inputs: Mapping[str, Array],
    counts: Mapping[str, int],
    labels: Array | None = None,
    loss: str | None = None,
) -> dict[str, Array]:
    whole = forward(model, inputs)
    best = {"finite": np.isfinite(whole["output"]).all(axis=1) & np.isfinite(whole["logits"]).all(axis=1)}
    for name, count in counts.items():
        known = np.where(best["finite"][:, None], whole[name], 0)
        best[f"{name}.classes"], best[name] = top_classes(known, count)
    if labels is not None and loss is not None:
        logits, output = (whole[name][: len(labels)].astype(np.float64) for name in ("logits", "output"))
        best["loss"] = np.asarray(LOSSES[loss].reference(logits, output, labels))
    return best


def loss_and_gradients(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array,
    loss: str,
    dropout: Mapping[str, Array] | None = None,
    training: bool = True,
) -> tuple[float, dict[str, Array]]:
    now = model.parameters
    fed = {k: v.astype(model.dtype) if v.dtype.kind == "f" else v for k, v in inputs.items()}
    paths = [*model.spec.trained, *(name for name, value in fed.items() if value.dtype.kind == "f")]
    if model.precision.is_low:
        value, gradients = _swept(model, fed, labels, loss, paths, dropout, training)
        return float(value), gradients
    value = derivatives.loss(model.spec, now, fed, labels, loss, dropout, training)
    return float(value), derivatives.gradient(model.spec, now, fed, labels, loss, paths, dropout, training)


def _swept(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array,
    loss: str,
    paths: list[str],
    dropout: Mapping[str, Array] | None,
    training: bool = True,
    scale: float = 1.0,
) -> tuple[Array, dict[str, Array]]:
    """The loss and its gradients in a low precision."""
    errors = operand_errors(model, inputs, labels, loss, dropout, training) if model.draw else {}
    products = Products(model.precision, model.draw, errors)
    return derivatives.swept_gradient(
        model.spec, model.parameters, inputs, labels, loss, paths, dropout, training, products, scale
    )


def operand_errors(
    model: Model,
    inputs: Mapping[str, Array],
    labels: Array | None,
    loss: str,
    dropout: Mapping[str, Array] | None,
    training: bool,
) -> dict[str, float]:
    """float32's largest error of each product's operands, by its name, where nothing is rounded to fewer bits.

    Args:
        labels: with them the operands of the gradients' products are among the names.
    """
    operands: list[dict[str, Array]] = []
    for kind in (np.float64, np.float32):
        products = Products(Precision(np.dtype(kind).name), operands={})
        own = {path: value.astype(kind) for path, value in model.parameters.items()}
        fed = {name: value.astype(kind) if value.dtype.kind == "f" else value for name, value in inputs.items()}
        if labels is None:
            execution.run(model.spec, own, fed, training, False, dropout, statistics=False, products=products)
        else:
            trained = model.spec.trained
            derivatives.swept_gradient(model.spec, own, fed, labels, loss, trained, dropout, training, products)
        operands.append(products.operands or {})
    wide, narrow = operands
    return {name: float(np.abs(narrow[name] - value).max(initial=0.0)) for name, value in wide.items()}


def start_training(model: Model, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Trainer:
    if model.spec.parameter_count > MOST_PARAMETERS:
        raise SpecError(
            f"the NumPy reference trains by one run for each parameter; {model.spec.parameter_count:,} parameters are too many "
            f"(at most {MOST_PARAMETERS:,}): take another --backend"
        )
    trained = [path for path in model.spec.trained if path not in frozen]
    kept = frozenset(frozen).intersection(model.spec.statistics)
    return Trainer(model, optimizer, loss, trained, kept, scale_for(model.precision))


def training_step(
    trainer: Trainer,
    inputs: Mapping[str, Array],
    labels: Array,
    dropout: Mapping[str, Array],
    learning_rate: float,
) -> tuple[float, int]:
    model = trainer.model
    products = Products(model.precision)
    result = execution.run(model.spec, model.parameters, inputs, True, False, dropout, products=products)
    if model.precision.is_low:
        factor = trainer.scale.scale if trainer.scale else 1.0
        value, scaled = _swept(model, inputs, labels, trainer.loss, trainer.trained, dropout, scale=factor)
        gradients = {path: gradient / gradient.dtype.type(factor) for path, gradient in scaled.items()}
    else:
        value = LOSSES[trainer.loss].reference(result.logits, result.output, labels)
        gradients = derivatives.gradient(
            model.spec, model.parameters, inputs, labels, trainer.loss, trainer.trained, dropout
        )
    finite = trainer.scale is None or all(np.isfinite(gradient).all() for gradient in gradients.values())
    if finite:
        trainer.step += 1
        trainer.optimizer.reference_step(model.parameters, gradients, trainer.state, trainer.step, learning_rate)
        moved = {path: new for path, new in result.updated.items() if path not in trainer.kept}
        model.parameters |= {path: new.astype(model.dtype) for path, new in moved.items()}
    if trainer.scale:
        trainer.scale.update(finite)
    best = result.logits.argmax(axis=-1)
    hit = best == labels if labels.ndim == 1 else labels[np.arange(len(best)), best] > 0
    return float(value), int(hit.sum())


def dump_optimizer(trainer: Trainer) -> dict[str, Array]:
    state: dict[str, Array] = {"step": np.array(trainer.step, dtype=np.int64)}
    if trainer.scale:
        state |= trainer.scale.dump()
    for path in trainer.trained:
        zero = np.zeros_like(trainer.model.parameters[path])
        state |= {key: trainer.state.get(key, zero).copy() for key in (f"m.{path}", f"v.{path}")}
        if trainer.optimizer.average_decay:
            state[f"a.{path}"] = trainer.state.get(f"a.{path}", trainer.model.parameters[path]).copy()
    return state


def load_optimizer(trainer: Trainer, state: Mapping[str, Array]) -> None:
    trainer.step = int(state["step"])
    if trainer.scale:
        trainer.scale.load(state)
    kinds = "mva" if trainer.optimizer.average_decay else "mv"
    trainer.state = {f"{m}.{path}": np.array(state[f"{m}.{path}"]) for path in trainer.trained for m in kinds}
