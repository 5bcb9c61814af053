"""Mistakes in outputs: layers, axes, padding, mates in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.parity.mutants.base import (
    Mutant,
    changed,
    of_type,
    other_outputs,
    other_parameters,
    other_spec,
    replace_functions,
)


def softmax_over_wrong_axis(backend: Backend) -> Backend:
    """Attention weights are normalised over the units where the spec says frames."""
    return other_spec(backend, lambda tree: of_type(tree, "attention_cluster", "normalize_over", "units"))


def missing_unit_scale(backend: Backend) -> Backend:
    """The 1/sqrt(units) of the attention's output is left out."""
    return other_spec(backend, lambda tree: of_type(tree, "attention_cluster", "output_scale", "1"))


def flipped_momentum(backend: Backend) -> Backend:
    """The running statistics keep the share that they should take, as frameworks do that define it the other way."""

    def change(tree: Any) -> Any:
        tree = changed(tree, "decay", lambda value: 1 - value)
        return of_type(tree, "batch_norm", "decay", 0.1)

    return other_spec(backend, change)


def transposed_weight(backend: Backend) -> Backend:
    """The last matrix is taken as (out, in)."""

    def load_parameters(model: Any, parameters: Mapping[str, Array]) -> None:
        last = [path for path, value in parameters.items() if value.ndim == 2][-1]
        wrong = np.asarray(parameters[last]).T.reshape(parameters[last].shape)
        backend.load_parameters(model, {**parameters, last: wrong})

    return replace_functions(backend, load_parameters=load_parameters)


def changed_weight(backend: Backend) -> Backend:
    """One number of the last matrix is larger by 1e-3, as in a checkpoint of another epoch."""

    def load_parameters(model: Any, parameters: Mapping[str, Array]) -> None:
        last = [path for path, value in parameters.items() if value.ndim == 2][-1]
        wrong = np.array(parameters[last])
        wrong.reshape(-1)[0] += 1e-3
        backend.load_parameters(model, {**parameters, last: wrong})

    return replace_functions(backend, load_parameters=load_parameters)


def missing_coupling(backend: Backend) -> Backend:
    """Coupled centres of a Fisher vector are the assignment's weights themselves, without the factor."""
    return other_spec(backend, lambda tree: changed(tree, "coupling", lambda factor: 1.0))


def added_centres(backend: Backend) -> Backend:
    """The centres of clusters are added to the frames where they should be subtracted."""
    return other_parameters(backend, "centres", lambda value: -value)


def spread_not_squared(backend: Backend) -> Backend:
    """A Fisher vector is divided by the spread as it is, where the formula squares it."""
    return other_parameters(backend, "spread", lambda value: np.sqrt(np.abs(value)))


def not_a_number(backend: Backend) -> Backend:
    """One number of the output is NaN."""

    def change(output: Array) -> Array:
        output[0, 0] = np.nan
        return output

    return other_outputs(backend, change)


def permuted_batch(backend: Backend) -> Backend:
    """The videos of a batch come back in another order."""
    return other_outputs(backend, lambda output: np.roll(output, 1, axis=0))


def batch_dependent(backend: Backend) -> Backend:
    """Outputs are normalised over the whole batch, as one of the original systems does."""
    return other_outputs(backend, lambda output: output / np.sqrt((output**2).sum()))


def alone_is_different(backend: Backend) -> Backend:
    """A video alone in its batch comes out a little larger than among others."""
    return other_outputs(backend, lambda output: output * (1 + 1e-6 * (len(output) == 1)))


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

    return other_outputs(backend, change)


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
    return other_spec(backend, lambda tree: changed(tree, "diagonal", other.__getitem__))


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
    return other_spec(backend, lambda tree: changed(tree, "bags", lambda count: 1))


def poolings_exchanged(backend: Backend) -> Backend:
    """The last of several statistics of the frames comes first."""
    return other_spec(backend, lambda tree: changed(tree, "pooling", lambda kinds: kinds[::-1]))


MUTANTS: tuple[Mutant, ...] = (
    softmax_over_wrong_axis,
    missing_unit_scale,
    flipped_momentum,
    transposed_weight,
    changed_weight,
    missing_coupling,
    added_centres,
    spread_not_squared,
    not_a_number,
    permuted_batch,
    batch_dependent,
    alone_is_different,
    padding_counts,
    coarse_float32,
    convolved_circulant,
    diagonal_on_the_other_side,
    padding_pooled,
    bags_in_one,
    poolings_exchanged,
)
