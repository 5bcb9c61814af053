"""Backends that are wrong in a low precision alone, in one way each: what a framework's own mixed precision may do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.model.layers.activation import softmax
from acz.model.loss_scale import START
from acz.model.optimizer import Adam
from acz.model.precision import Precision
from acz.model.spec import Spec
from acz.parity.mutants.base import replace_functions


def _noting_precisions(backend: Backend) -> tuple[Backend, Callable[[Any], tuple[Spec, Precision]]]:
    """The backend, and what tells the spec and the precision of each model that it built."""
    built: dict[int, tuple[Any, Spec, Precision]] = {}

    def build(spec: Spec, device: str, dtype: str) -> Any:
        model = backend.build(spec, device, dtype)
        built[id(model)] = model, spec, Precision(dtype)
        return model

    return replace_functions(backend, build=build), lambda model: built[id(model)][1:]


def softmax_in_low_precision(backend: Backend) -> Backend:
    """The softmax of the output takes rounded logits and gives rounded shares."""
    noting, about = _noting_precisions(backend)

    def forward(model: Any, *rest: Any) -> dict[str, Array]:
        values, (spec, precision) = backend.forward(model, *rest), about(model)
        if spec.output != "softmax":
            return values
        return values | {"output": precision.round(softmax(precision.round(values["logits"])))}

    return replace_functions(noting, forward=forward)


def master_weight_in_low_precision(backend: Backend) -> Backend:
    """After each step the weights are rounded, where they should stay float32."""
    noting, about = _noting_precisions(backend)

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        return backend.start_training(model, optimizer, loss, frozen), model

    def training_step(trainer: Any, *rest: Any) -> Any:
        inner, model = trainer
        answer, (spec, precision) = backend.training_step(inner, *rest), about(model)
        values = backend.dump_parameters(model)
        trained = {path: precision.round(values[path]) for path in spec.trained}
        backend.load_parameters(model, {**values, **trained})
        return answer

    return replace_functions(
        noting,
        start_training=start_training,
        training_step=training_step,
        dump_optimizer=lambda trainer: backend.dump_optimizer(trainer[0]),
        load_optimizer=lambda trainer, state: backend.load_optimizer(trainer[0], state),
    )


def statistics_in_low_precision(backend: Backend) -> Backend:
    """Running statistics are rounded."""
    noting, about = _noting_precisions(backend)

    def dump_parameters(model: Any) -> dict[str, Array]:
        values, (spec, precision) = backend.dump_parameters(model), about(model)
        return values | {path: precision.round(values[path]) for path in spec.statistics}

    return replace_functions(noting, dump_parameters=dump_parameters)


def clipped_before_unscaling(backend: Backend) -> Backend:
    """Gradients in float16 are clipped while they have the scale of the loss, so to a norm that is too small."""
    noting, about = _noting_precisions(backend)

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        if about(model)[1] is Precision.FLOAT16:
            limits = {"clip_norm": optimizer.clip_norm, "clip_global_norm": optimizer.clip_global_norm}
            smaller = {name: limit / START for name, limit in limits.items() if limit is not None}
            optimizer = optimizer.model_copy(update=smaller)
        return backend.start_training(model, optimizer, loss, frozen)

    return replace_functions(noting, start_training=start_training)


PRECISION_MUTANTS: dict[str, Callable[[Backend], Backend]] = {
    function.__name__: function
    for function in (
        softmax_in_low_precision,
        master_weight_in_low_precision,
        statistics_in_low_precision,
        clipped_before_unscaling,
    )
}
