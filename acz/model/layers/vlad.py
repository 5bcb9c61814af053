"""Aggregation by clusters: NetVLAD (Arandjelovic et al. 2016), NetFV and light VLAD (Miech, Laptev and Sivic 2017), and
NeXtVLAD (Lin, Xiao and Fan 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from acz.foundation.arrays import Array, Shape
from acz.model.layers.activation import sigmoid, softmax
from acz.model.layers.base import Call, Layer, Parameter, WeightInitial, bias_initial, normal, weight_initial
from acz.model.layers.normalize import BatchNormSettings, batch_norm_parameters, l2_normalize

MOST_SHARES = 2**31
"""The most frames times clusters of a video."""
LEAST_SPREAD = 1e-6
"""The least spread of a cluster in NetFV."""


class SoftAssignment(Layer):
    """The common part of the layers of this file: every frame has a share in each of K clusters.

    a[t] = softmax over the clusters of batch_norm(x[t] W), or of x[t] W + b without `norm`. Padded frames have no share
    and enter no statistic.

    Parameters: assignment.weight (features, clusters); norm.* or assignment.bias (clusters).
    """

    clusters: int = Field(gt=0, le=2**31)
    """Clusters, among which each frame is shared."""
    norm: BatchNormSettings | None = None
    """Batch normalisation of the scores, in place of a bias."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        start = normal(shape[-1] ** -0.5)
        parameters = {"assignment.weight": Parameter((shape[-1], self.clusters), start)}
        if self.norm:
            return parameters | {f"norm.{name}": p for name, p in batch_norm_parameters(self.clusters).items()}
        return parameters | {"assignment.bias": Parameter((self.clusters,), start)}

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"{self.type} needs (frames, features), got {shape}")
        if shape[0] * self.clusters > MOST_SHARES:
            raise ValueError(
                f"{shape[0]:,} frames times {self.clusters:,} clusters are too many; at most {MOST_SHARES:,} shares are allowed"
            )
        return (shape[1] * self.clusters,)

    def recorded(self) -> tuple[str, ...]:
        return ("assignments",)

    def assignments(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        """Compute the shares of the frames: x (videos, frames, features) to (videos, frames, clusters)."""
        s = call.product(x, p["assignment.weight"])
        s = self.norm.normalize(s, p, call, prefix="norm.") if self.norm else s + p["assignment.bias"]
        a = softmax(s)
        if call.mask is not None:
            a = a * call.mask[:, :, None]
        call.record("assignments", a)
        return a


class NetVLAD(SoftAssignment):
    """Sums of the residuals of the frames to K learned centres (Arandjelovic et al. 2016, equation 4).

    v_k = sum_t a[t, k] (x[t] - c_k). v_k is L2-normalised over the features, flattened, and L2-normalised as a whole.
    The clusters of one feature are neighbours: the index is f * K + k, the order of the published weights.

    Parameters: those of SoftAssignment, and centres (features, clusters).
    """

    type: Literal["netvlad"] = "netvlad"

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        centres = Parameter((shape[-1], self.clusters), normal(shape[-1] ** -0.5))
        return super().parameters(shape) | {"centres": centres}

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        a = self.assignments(x, p, call)
        v = (
            call.product(np.swapaxes(x, 1, 2), a) - p["centres"] * a.sum(axis=1)[:, None, :]
        )  # (videos, features, clusters)
        return of_clusters(v)  # (videos, features * clusters)


class LightVLAD(SoftAssignment):
    """NetVLAD without centres: v_k = sum_t a[t, k] x[t]. All else is as in NetVLAD.

    Also called NetRVLAD. With `gated` v_k is multiplied by sigmoid(gates) before it is normalised (NetVLAGD).

    Parameters: those of SoftAssignment, and with `gated` gates (features, clusters).

    Source: Miech, Laptev and Sivic 2017, section 3.1; antoine77340/Youtube-8M-WILLOW.
    """

    type: Literal["light_vlad"] = "light_vlad"
    gated: bool = False
    """Multiply each sum by a learned gate."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        gates = {"gates": Parameter((shape[-1], self.clusters), normal(shape[-1] ** -0.5))}
        return super().parameters(shape) | (gates if self.gated else {})

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        v = call.product(np.swapaxes(x, 1, 2), self.assignments(x, p, call))  # (videos, features, clusters)
        v = v * sigmoid(p["gates"]) if self.gated else v
        return of_clusters(v)  # (videos, features * clusters)


class NetFV(SoftAssignment):
    """Fisher vectors with learned clusters: first and second order statistics of the frames.

    first_k = sum_t a[t, k] (x[t] - c_k) / sigma_k, normalised as in NetVLAD.
    second_k = sum_t a[t, k] ((x[t] - c_k)^2 / sigma_k^2 - 1), flattened, L2-normalised as a whole.
    sigma = spread^2 + 1e-6. The output is first, then second, each with the index f * K + k.

    Parameters: those of SoftAssignment, spread (features, clusters) and, without `coupling`, centres (features,
    clusters). With `coupling` the centres are coupling * assignment.weight.

    Source: Miech, Laptev and Sivic 2017, section 3.1.
    """

    type: Literal["net_fv"] = "net_fv"
    coupling: float | None = Field(default=None, ge=-1e3, le=1e3)
    """Centres are this times the weights of the scores; without it they are learned."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        both, deviation = (shape[-1], self.clusters), shape[-1] ** -0.5
        parameters = super().parameters(shape) | {"spread": Parameter(both, normal(deviation, mean=1.0))}
        return parameters if self.coupling is not None else parameters | {"centres": Parameter(both, normal(deviation))}

    def output_shape(self, shape: Shape) -> Shape:
        return (2 * super().output_shape(shape)[0],)

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        a = self.assignments(x, p, call)
        c = p["centres"] if self.coupling is None else p["assignment.weight"] * x.real.dtype.type(self.coupling)
        sigma = p["spread"] * p["spread"] + x.real.dtype.type(LEAST_SPREAD)
        total = a.sum(axis=1)[:, None, :]  # (videos, 1, clusters)
        ax, axx = (call.product(np.swapaxes(y, 1, 2), a) for y in (x, x * x))  # (videos, features, clusters)
        first = (ax - c * total) / sigma
        second = (axx - 2 * c * ax + c * c * total) / (sigma * sigma) - total
        second = l2_normalize(second.reshape(len(x), -1))
        return np.concatenate([of_clusters(first), second], axis=1)  # (videos, 2 * features * clusters)


class NeXtVLAD(Layer):
    """Sums of the residuals of groups of features to K learned centres, weighted by an attention to each group.

    x' = x We + be has E = expansion * features values, in G groups of E / G. alpha[t, g] = sigmoid(x' Wa + ba), and 0
    for a padded frame. s[t, g] = softmax over the clusters, within each group, of batch_norm(x' Wc), whose column is
    g * K + k. v_k = sum over t and g of alpha[t, g] s[t, g, k] (x'[t, g] - c_k): the groups share the centres. v_k is
    L2-normalised over its E / G values and flattened. The clusters of one value are neighbours: the index is j * K + k,
    the order of the published weights.

    The original continues with batch norm of the flattened vector, which is a layer `batch_norm` behind this one.

    Parameters: expansion.weight (features, E), expansion.bias (E), attention.weight (E, groups), attention.bias
    (groups), assignment.weight (E, groups * clusters), norm.* (groups * clusters), centres (E / groups, clusters).

    Source: Lin, Xiao and Fan 2018, NeXtVLAD, section 3.2; linrongc/youtube-8m, nextvlad.py, which has batch norm of the
    scores where the paper has a bias.
    """

    type: Literal["nextvlad"] = "nextvlad"
    clusters: int = Field(gt=0, le=2**31)
    """Clusters, among which each group of a frame is shared."""
    groups: int = Field(default=8, gt=0, le=2**16)
    """Groups of features. They divide expansion times the features."""
    expansion: int = Field(default=2, gt=0, le=2**10)
    """The width of the features that are grouped, in times the features of the input."""
    norm: BatchNormSettings = BatchNormSettings()
    """Batch normalisation of the scores."""
    initializer: WeightInitial = "uniform_fan_in"
    """The starting values of the weights, and of a bias beside them."""

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        features, wide, shares = shape[-1], self.expansion * shape[-1], self.groups * self.clusters
        size = wide // self.groups
        return {
            "expansion.weight": Parameter((features, wide), weight_initial(self.initializer, features, wide)),
            "expansion.bias": Parameter((wide,), bias_initial(self.initializer, features)),
            "attention.weight": Parameter((wide, self.groups), weight_initial(self.initializer, wide, self.groups)),
            "attention.bias": Parameter((self.groups,), bias_initial(self.initializer, wide)),
            "assignment.weight": Parameter((wide, shares), weight_initial(self.initializer, wide, shares)),
            **{f"norm.{name}": p for name, p in batch_norm_parameters(shares).items()},
            "centres": Parameter((size, self.clusters), normal((2.0 / size) ** 0.5)),
        }

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"nextvlad needs (frames, features), got {shape}")
        wide = self.expansion * shape[1]
        if wide % self.groups:
            raise ValueError(
                f"{self.groups} groups must divide {self.expansion} times {shape[1]} features, which is {wide}; "
                "take another number of groups"
            )
        if shape[0] * self.groups * self.clusters > MOST_SHARES:
            raise ValueError(
                f"{shape[0]:,} frames times {self.groups:,} groups times {self.clusters:,} clusters are too many; "
                f"at most {MOST_SHARES:,} shares are allowed"
            )
        return (wide // self.groups * self.clusters,)

    def recorded(self) -> tuple[str, ...]:
        return ("attention", "assignments")

    def scores(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        """Compute the scores of the clusters: x (videos, frames, E) to (videos, frames, groups * clusters)."""
        return self.norm.normalize(call.product(x, p["assignment.weight"]), p, call, prefix="norm.")

    def shares(self, s: Array) -> Array:
        """Share each group of each frame among the clusters: (videos, frames, groups, clusters)."""
        return softmax(s.reshape(*s.shape[:2], self.groups, self.clusters))

    def residuals(self, x: Array, a: Array, centres: Array, call: Call) -> Array:
        """Sum the residuals of the groups.

        Args:
            x: (videos, frames, groups, E / groups).
            a: the shares times the attention, (videos, frames, groups, clusters).
            centres: (E / groups, clusters).
            call: the run.

        Returns:
            (videos, E / groups, clusters).
        """
        x = x.reshape(len(x), -1, x.shape[-1])  # (videos, frames * groups, E / groups)
        a = a.reshape(len(a), -1, a.shape[-1])  # (videos, frames * groups, clusters)
        return call.product(np.swapaxes(x, 1, 2), a) - centres * a.sum(axis=1)[:, None, :]

    def reference(self, x: Array, p: Mapping[str, Array], call: Call) -> Array:
        x = call.product(x, p["expansion.weight"]) + p["expansion.bias"]  # (videos, frames, E)
        alpha = sigmoid(call.product(x, p["attention.weight"]) + p["attention.bias"])  # (videos, frames, groups)
        if call.mask is not None:
            alpha = alpha * call.mask[:, :, None]
        a = self.shares(self.scores(x, p, call)) * alpha[:, :, :, None]
        call.record("attention", alpha)
        call.record("assignments", a.reshape(*a.shape[:2], -1))
        v = self.residuals(x.reshape(*alpha.shape, -1), a, p["centres"], call)  # (videos, E / groups, clusters)
        v = np.swapaxes(l2_normalize(np.swapaxes(v, 1, 2)), 1, 2)
        return v.reshape(len(x), -1)  # (videos, E / groups * clusters)


def of_clusters(v: Array) -> Array:
    """L2-normalise over the features of each cluster, then as a whole.

    v (videos, features, clusters) to (videos, features * clusters).
    """
    v = np.swapaxes(l2_normalize(np.swapaxes(v, 1, 2)), 1, 2)
    return l2_normalize(v.reshape(len(v), -1))
