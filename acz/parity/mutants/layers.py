"""Backends whose layers are wrong in one way each.

Formulas that no change of a spec or a parameter gives are wrong in the reference alone: `--backends numpy`. A native
layer would not read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from acz.backend.protocol import Backend
from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError
from acz.model.layers import Layer
from acz.model.layers.activation import softmax
from acz.model.layers.base import Call
from acz.model.layers.normalize import l2_normalize
from acz.model.layers.vlad import NeXtVLAD
from acz.model.spec import Spec
from acz.parity.mutants.base import Mutant, changed, other_parameters, other_spec, replace_functions


class OneSoftmax(NeXtVLAD):
    """A frame is shared among the clusters of all groups together."""

    def shares(self, s: Array) -> Array:
        return softmax(s).reshape(*s.shape[:2], self.groups, self.clusters)


class CentresOfGroups(NeXtVLAD):
    """Each group has centres of its own."""

    def residuals(self, x: Array, a: Array, centres: Array, call: Call) -> Array:
        groups = (
            super(CentresOfGroups, self).residuals(
                x[:, :, g : g + 1], a[:, :, g : g + 1], np.roll(centres, g, axis=1), call
            )
            for g in range(self.groups)
        )
        return cast(Array, sum(groups))


class SecondNorm(NeXtVLAD):
    """The whole vector is L2-normalised again, as in NetVLAD."""

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        return l2_normalize(super().reference(x, p, call))


class PaddingInStatistics(NeXtVLAD):
    """Padded frames enter the statistics of the batch norm, as in the original."""

    def scores(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        mask, call.mask = call.mask, None
        s = super().scores(x, p, call)
        call.mask = mask
        return s


class AttentionBehind(NeXtVLAD):
    """The attention multiplies the sum over frames and groups, as its mean, and not each group."""

    def residuals(self, x: Array, a: Array, centres: Array, call: Call) -> Array:
        alpha = a.sum(axis=3, keepdims=True)  # the shares alone sum to 1
        shares = a / np.where(alpha == 0, 1, alpha)
        valid = np.maximum((alpha != 0).sum(axis=(1, 2)), 1)
        return super().residuals(x, shares, centres, call) * (alpha.sum(axis=(1, 2)) / valid)[:, :, None]


def with_layer(spec: Spec, wrong: type[NeXtVLAD]) -> Spec:
    """A spec whose layers `nextvlad` have a wrong formula, with the same settings and parameters."""

    def replaced(layers: Mapping[str, Layer]) -> dict[str, Layer]:
        return {
            name: wrong(**{key: getattr(layer, key) for key in NeXtVLAD.model_fields})
            if type(layer) is NeXtVLAD
            else layer
            for name, layer in layers.items()
        }

    streams = {name: replace(stream, layers=replaced(stream.layers)) for name, stream in spec.streams.items()}
    return replace(spec, streams=streams, trunk=replaced(spec.trunk))


def _of_reference(backend: Backend, wrong: type[NeXtVLAD]) -> Backend:
    if getattr(backend, "__name__", "") != "acz.reference.numpy_backend":
        raise SpecError("this mutant changes a formula of the reference; type --backends numpy")

    def build(spec: Spec, device: str, dtype: str) -> Any:
        return backend.build(with_layer(spec, wrong), device, dtype)

    return replace_functions(backend, build=build)


def softmax_over_groups(backend: Backend) -> Backend:
    """NeXtVLAD shares a frame among the clusters of all groups together."""
    return _of_reference(backend, OneSoftmax)


def centres_of_groups(backend: Backend) -> Backend:
    """Each group of NeXtVLAD has centres of its own."""
    return _of_reference(backend, CentresOfGroups)


def second_norm(backend: Backend) -> Backend:
    """NeXtVLAD's vector is L2-normalised as a whole again, as NetVLAD's is."""
    return _of_reference(backend, SecondNorm)


def padding_in_statistics(backend: Backend) -> Backend:
    """Padded frames enter the statistics of NeXtVLAD's batch norm, as in the original."""
    return _of_reference(backend, PaddingInStatistics)


def attention_behind(backend: Backend) -> Backend:
    """NeXtVLAD's attention multiplies the sum over the frames, and not each group of a frame."""
    return _of_reference(backend, AttentionBehind)


def whitened_again(backend: Backend) -> Backend:
    """The reverse of whitening divides by the deviations where it should multiply."""
    return other_parameters(backend, "scale", lambda value: 1 / value)


def gated_by_itself(backend: Backend) -> Backend:
    """A feature has a part in its own gate, though the diagonal is removed."""
    return other_spec(backend, lambda tree: changed(tree, "remove_diagonal", lambda removed: False))


MUTANTS: tuple[Mutant, ...] = (
    softmax_over_groups,
    centres_of_groups,
    second_norm,
    padding_in_statistics,
    attention_behind,
    whitened_again,
    gated_by_itself,
)
