"""References with a layer that is wrong in one way: mutants of formulas that no change of a spec or a parameter gives.

They are mutants of the reference alone: `--backends numpy`. A native layer would not read the wrong formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from acz.parity.mutants import replace_functions


class OneSoftmax(NeXtVLAD):
    """A frame is shared among the clusters of all groups together."""

    def shares(self, s: Array) -> Array:
        return softmax(s).reshape(*s.shape[:2], self.groups, self.clusters)


class CentresOfGroups(NeXtVLAD):
    """Each group has centres of its own."""

    def residuals(self, x: Array, a: Array, centres: Array) -> Array:
        groups = (
            super(CentresOfGroups, self).residuals(x[:, :, g : g + 1], a[:, :, g : g + 1], np.roll(centres, g, axis=1))
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

    def residuals(self, x: Array, a: Array, centres: Array) -> Array:
        alpha = a.sum(axis=3, keepdims=True)  # the shares alone sum to 1
        shares = a / np.where(alpha == 0, 1, alpha)
        valid = np.maximum((alpha != 0).sum(axis=(1, 2)), 1)
        return super().residuals(x, shares, centres) * (alpha.sum(axis=(1, 2)) / valid)[:, :, None]


def with_layer(spec: Spec, wrong: type[NeXtVLAD]) -> Spec:
    """A spec whose layers `nextvlad` have a wrong formula, with the same settings and parameters."""

    def changed(layers: Mapping[str, Layer]) -> dict[str, Layer]:
        return {
            name: wrong(**{key: getattr(layer, key) for key in NeXtVLAD.model_fields})
            if type(layer) is NeXtVLAD
            else layer
            for name, layer in layers.items()
        }

    streams = {name: replace(stream, layers=changed(stream.layers)) for name, stream in spec.streams.items()}
    return replace(spec, streams=streams, trunk=changed(spec.trunk))


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


LAYER_MUTANTS: dict[str, Callable[[Backend], Backend]] = {
    function.__name__: function
    for function in (softmax_over_groups, centres_of_groups, second_norm, padding_in_statistics, attention_behind)
}
