"""Backends that are wrong in one way each: the comparison must catch every one of them.

`acz parity-check --mutant NAME` runs with one; parity_tests and tests demand that it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import numpy as np

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.model.optimizer import Adam
from acz.model.spec import Spec


class _Mutant:
    def __init__(self, backend: Backend, **replaced: Callable[..., Any]) -> None:
        self._backend = backend
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def replace_functions(backend: Backend, **replaced: Callable[..., Any]) -> Backend:
    """A backend with some of its functions replaced."""
    return cast(Backend, _Mutant(backend, **replaced))


def _changed(tree: Any, key: str, change: Callable[[Any], Any]) -> Any:
    """A copy of a plain tree with every value under `key` changed."""
    if not isinstance(tree, Mapping):
        return tree
    return {k: change(v) if k == key else _changed(v, key, change) for k, v in tree.items()}


def _of_type(tree: Any, kind: str, key: str, value: Any) -> Any:
    """A copy of a plain tree with `key` set in every layer of a type."""
    if not isinstance(tree, Mapping):
        return tree
    copy = {k: _of_type(v, kind, key, value) for k, v in tree.items()}
    return copy | {key: value} if tree.get("type") == kind else copy


def _other_spec(backend: Backend, change: Callable[[Any], Any]) -> Backend:
    def build(spec: Spec, device: str, dtype: str) -> Any:
        return backend.build(Spec.from_dict(change(spec.to_dict())), device, dtype)

    return replace_functions(backend, build=build)


def _other_outputs(backend: Backend, change: Callable[[Array], Array]) -> Backend:
    def forward(*arguments: Any, **named: Any) -> dict[str, Array]:
        values = backend.forward(*arguments, **named)
        return values | {"output": change(values["output"].copy())}

    return replace_functions(backend, forward=forward)


def _other_parameters(backend: Backend, name: str, change: Callable[[Array], Array]) -> Backend:
    """Every parameter of this local name is changed as it is loaded."""

    def load_parameters(model: Any, parameters: Mapping[str, Array]) -> None:
        wrong = {path: change(v) if path.endswith(f".{name}") else v for path, v in parameters.items()}
        backend.load_parameters(model, wrong)

    return replace_functions(backend, load_parameters=load_parameters)


def softmax_over_wrong_axis(backend: Backend) -> Backend:
    """Attention weights are normalised over the units where the spec says frames."""
    return _other_spec(backend, lambda tree: _of_type(tree, "attention_cluster", "normalize_over", "units"))


def missing_unit_scale(backend: Backend) -> Backend:
    """The 1/sqrt(units) of the attention's output is left out."""
    return _other_spec(backend, lambda tree: _of_type(tree, "attention_cluster", "output_scale", "1"))


def flipped_momentum(backend: Backend) -> Backend:
    """The running statistics keep the share that they should take, as frameworks do that define it the other way."""

    def change(tree: Any) -> Any:
        tree = _changed(tree, "decay", lambda value: 1 - value)
        return _of_type(tree, "batch_norm", "decay", 0.1)

    return _other_spec(backend, change)


def transposed_weight(backend: Backend) -> Backend:
    """The last matrix is taken as (out, in)."""

    def load_parameters(model: Any, parameters: Mapping[str, Array]) -> None:
        last = [path for path, value in parameters.items() if value.ndim == 2][-1]
        wrong = np.asarray(parameters[last]).T.reshape(parameters[last].shape)
        backend.load_parameters(model, {**parameters, last: wrong})

    return replace_functions(backend, load_parameters=load_parameters)


def missing_coupling(backend: Backend) -> Backend:
    """Coupled centres of a Fisher vector are the assignment's weights themselves, without the factor."""
    return _other_spec(backend, lambda tree: _changed(tree, "coupling", lambda factor: 1.0))


def added_centres(backend: Backend) -> Backend:
    """The centres of clusters are added to the frames where they should be subtracted."""
    return _other_parameters(backend, "centres", lambda value: -value)


def spread_not_squared(backend: Backend) -> Backend:
    """A Fisher vector is divided by the spread as it is, where the formula squares it."""
    return _other_parameters(backend, "spread", lambda value: np.sqrt(np.abs(value)))


def whitened_again(backend: Backend) -> Backend:
    """The reverse of whitening divides by the deviations where it should multiply."""
    return _other_parameters(backend, "scale", lambda value: 1 / value)


def gated_by_itself(backend: Backend) -> Backend:
    """A feature has a part in its own gate, though the diagonal is removed."""
    return _other_spec(backend, lambda tree: _changed(tree, "remove_diagonal", lambda removed: False))


def not_a_number(backend: Backend) -> Backend:
    """One number of the output is NaN."""

    def change(output: Array) -> Array:
        output[0, 0] = np.nan
        return output

    return _other_outputs(backend, change)


def permuted_batch(backend: Backend) -> Backend:
    """The videos of a batch come back in another order."""
    return _other_outputs(backend, lambda output: np.roll(output, 1, axis=0))


def batch_dependent(backend: Backend) -> Backend:
    """Outputs are normalised over the whole batch, as one of the original systems does."""
    return _other_outputs(backend, lambda output: output / np.sqrt((output**2).sum()))


def alone_is_different(backend: Backend) -> Backend:
    """A video alone in its batch comes out a little larger than among others."""
    return _other_outputs(backend, lambda output: output * (1 + 1e-6 * (len(output) == 1)))


def padding_counts(backend: Backend) -> Backend:
    """An output depends, a little, on how many frames the batch is padded to."""

    def forward(model: Any, inputs: Mapping[str, Array], *rest: Any) -> dict[str, Array]:
        values = backend.forward(model, inputs, *rest)
        frames = max(value.shape[1] for value in inputs.values())
        return values | {"output": values["output"] * (1 + 1e-6 * (frames > 6))}

    return replace_functions(backend, forward=forward)


def coarse_float32(backend: Backend) -> Backend:
    """In float32 the output has 16 bits instead of 24, as products of reduced precision give. float64 is right."""

    def change(output: Array) -> Array:
        if output.dtype == np.float32:
            output.view(np.uint32)[...] &= np.uint32(0xFFFFFF00)
        return output

    return _other_outputs(backend, change)


def wrong_gradient(backend: Backend) -> Backend:
    """Gradients are summed over the videos where they should be averaged."""

    def loss_and_gradients(model: Any, inputs: Any, labels: Array, *rest: Any) -> Any:
        loss, gradients = backend.loss_and_gradients(model, inputs, labels, *rest)
        return loss, {path: value * len(labels) for path, value in gradients.items()}

    return replace_functions(backend, loss_and_gradients=loss_and_gradients)


def other_weight_decay(backend: Backend) -> Backend:
    """Coupled and decoupled weight decay are exchanged, as Keras and PyTorch differ by default."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        other = optimizer.model_copy(update={"decoupled": not optimizer.decoupled})
        return backend.start_training(model, other, loss, frozen)

    return replace_functions(backend, start_training=start_training)


def exchanged_clipping(backend: Backend) -> Backend:
    """Each tensor is clipped where all should be together, and the other way round."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        other = {"clip_norm": optimizer.clip_global_norm, "clip_global_norm": optimizer.clip_norm}
        return backend.start_training(model, optimizer.model_copy(update=other), loss, frozen)

    return replace_functions(backend, start_training=start_training)


def doubled_penalty(backend: Backend) -> Backend:
    """The L2 penalty is factor * sum(w^2), without the half."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        doubled = {path: 2 * factor for path, factor in optimizer.l2_penalty.items()}
        return backend.start_training(model, optimizer.model_copy(update={"l2_penalty": doubled}), loss, frozen)

    return replace_functions(backend, start_training=start_training)


def moving_frozen_statistics(backend: Backend) -> Backend:
    """The statistics of frozen batch norms move, though their paths are frozen too."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        weights = [path for path in frozen if not path.endswith(("running_mean", "running_variance"))]
        return backend.start_training(model, optimizer, loss, weights)

    return replace_functions(backend, start_training=start_training)


def counted_frozen(backend: Backend) -> Backend:
    """Frozen parameters are restored after each step, but their gradients count in the norm that clips."""

    def start_training(model: Any, optimizer: Adam, loss: str, frozen: Collection[str] = ()) -> Any:
        return backend.start_training(model, optimizer, loss), model, frozen

    def training_step(trainer: Any, *arguments: Any) -> Any:
        inner, model, frozen = trainer
        before = backend.dump_parameters(model)
        answer = backend.training_step(inner, *arguments)
        kept = {path: before[path] for path in frozen}
        backend.load_parameters(model, {**backend.dump_parameters(model), **kept})
        return answer

    def dump_optimizer(trainer: Any) -> dict[str, Array]:
        inner, _, frozen = trainer
        return {key: value for key, value in backend.dump_optimizer(inner).items() if key[2:] not in frozen}

    return replace_functions(
        backend, start_training=start_training, training_step=training_step, dump_optimizer=dump_optimizer
    )


def lost_moments(backend: Backend) -> Backend:
    """A checkpoint keeps the weights and forgets the optimiser's second moments."""

    def load_optimizer(trainer: Any, state: Mapping[str, Array]) -> None:
        forgotten = {k: np.zeros_like(v) if k.startswith("v.") else v for k, v in state.items()}
        backend.load_optimizer(trainer, forgotten)

    return replace_functions(backend, load_optimizer=load_optimizer)


def convolved_circulant(backend: Backend) -> Backend:
    """Circulant products are convolutions where they are correlations: the matrix of each vector is transposed."""

    def change(value: Array) -> Array:
        return np.roll(value[..., ::-1], 1, axis=-1) if value.ndim == 3 else value

    def load_parameters(model: Any, parameters: Mapping[str, Array]) -> None:
        backend.load_parameters(
            model, {path: change(v) if path.endswith("weight") else v for path, v in parameters.items()}
        )

    return replace_functions(backend, load_parameters=load_parameters)


def diagonal_on_the_other_side(backend: Backend) -> Backend:
    """A circulant layer's learned diagonal multiplies what comes out, and its fixed signs what goes in."""
    other = {"learned": "fixed", "fixed": "learned", "none": "none"}
    return _other_spec(backend, lambda tree: _changed(tree, "diagonal", other.__getitem__))


def padding_pooled(backend: Backend) -> Backend:
    """Padded frames, as zeros, take part like any other."""

    def forward(model: Any, inputs: Mapping[str, Array], *rest: Any) -> dict[str, Array]:
        fed = {name: value for name, value in inputs.items() if not name.endswith(".mask")}
        for name in fed:
            if f"{name}.mask" in inputs:
                fed[name] = fed[name] * inputs[f"{name}.mask"][:, :, None]
        return backend.forward(model, fed, *rest)

    return replace_functions(backend, forward=forward)


def bags_in_one(backend: Backend) -> Backend:
    """The samplings of a video are pooled together where each should be by itself."""
    return _other_spec(backend, lambda tree: _changed(tree, "bags", lambda count: 1))


def poolings_exchanged(backend: Backend) -> Backend:
    """The last of several statistics of the frames comes first."""
    return _other_spec(backend, lambda tree: _changed(tree, "pooling", lambda kinds: kinds[::-1]))


MUTANTS: dict[str, Callable[[Backend], Backend]] = {
    function.__name__: function
    for function in (
        softmax_over_wrong_axis,
        missing_unit_scale,
        flipped_momentum,
        transposed_weight,
        missing_coupling,
        added_centres,
        spread_not_squared,
        whitened_again,
        gated_by_itself,
        not_a_number,
        permuted_batch,
        batch_dependent,
        alone_is_different,
        padding_counts,
        coarse_float32,
        wrong_gradient,
        other_weight_decay,
        exchanged_clipping,
        doubled_penalty,
        moving_frozen_statistics,
        counted_frozen,
        lost_moments,
        padding_pooled,
        bags_in_one,
        poolings_exchanged,
        convolved_circulant,
        diagonal_on_the_other_side,
    )
}
