"""Adam as every backend must run it, with penalties and the clipping of gradients."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from acz.foundation.arrays import Array
from acz.model.parameters import match_paths


class Adam(BaseModel):
    """Adam, with the epsilon added to the root of the corrected second moment.

    The settings act on the gradient g of a parameter w in this order:

    - `l2_penalty` maps patterns of paths to factors. It adds factor * sum(w^2) / 2 to the loss, so factor * w to g.
    - `clip_norm` limits the norm of each tensor's g: g * limit / max(||g||, limit).
    - `clip_global_norm` limits the norm of all gradients together: one factor scales all tensors.
    - `weight_decay` acts on every parameter. `decoupled: false` adds weight_decay * w to g (L2), after the clipping.
      `decoupled: true` shrinks the weights by learning_rate * weight_decay first (Loshchilov and Hutter 2019).

    Fixed and frozen parameters do not change, and no norm counts them; statistics move by themselves. Training reports the loss without the penalty, as evaluation does.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    type: Literal["adam"] = "adam"
    learning_rate: float = Field(default=1e-3, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    decoupled: bool = False
    l2_penalty: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    clip_norm: float | None = Field(default=None, gt=0)
    clip_global_norm: float | None = Field(default=None, gt=0)

    @property
    def average_decay(self) -> float:
        """The share of an average of the weights that a step keeps; 0 without an average."""
        return 0.0

    def outside_epsilon(self, step: int) -> float:
        """Give the epsilon of an equal step in the form lr_t m / (sqrt(v) + epsilon) of TensorFlow and MindSpore.

        Args:
            step: the number of the step, from 1.
        """
        return float(self.epsilon * np.sqrt(1 - self.beta2**step))

    def penalties(self, trained: Iterable[str]) -> dict[str, float]:
        """Map each path that a pattern of `l2_penalty` matches to its factor. Factors of several patterns are added.

        Args:
            trained: paths of the parameters that the optimiser changes. A pattern may match none of them, since the
                parameters that it means may be frozen.
        """
        factors: dict[str, float] = {}
        paths = list(trained)
        for pattern, factor in self.l2_penalty.items():
            for path in fnmatch.filter(paths, pattern):
                factors[path] = factors.get(path, 0.0) + factor
        return factors

    def require(self, trained: Iterable[str]) -> None:
        """Check that every pattern of `l2_penalty` matches one of the paths of a model's trained parameters.

        Raises:
            SpecError: a pattern matches no path.
        """
        paths = list(trained)
        for pattern in self.l2_penalty:
            match_paths(pattern, paths, "train.optimizer.l2_penalty", "trained parameter")

    def prepared(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> dict[str, Array]:
        """Give the gradients with the penalty added, then clipped.

        Args:
            parameters: the model's parameters by path.
            gradients: the gradients of the trained parameters by path.
        """
        factors = self.penalties(gradients)
        prepared = {path: g + g.dtype.type(factors.get(path, 0.0)) * parameters[path] for path, g in gradients.items()}
        if self.clip_norm is not None:
            limit = self.clip_norm
            prepared = {
                path: g * g.dtype.type(limit / max(float(np.sqrt((g * g).sum())), limit))
                for path, g in prepared.items()
            }
        if self.clip_global_norm is not None:
            limit = self.clip_global_norm
            norm = float(np.sqrt(sum((g * g).sum() for g in prepared.values())))
            prepared = {path: g * g.dtype.type(limit / max(norm, limit)) for path, g in prepared.items()}
        return prepared

    def reference_step(
        self,
        parameters: dict[str, Array],
        gradients: Mapping[str, Array],
        state: dict[str, Array],
        step: int,
        learning_rate: float,
    ) -> None:
        """Take one step of training in NumPy. `parameters` and `state` change in place.

        Args:
            parameters: the model's parameters by path.
            gradients: the gradients of the trained parameters by path.
            state: the moments, `m.<path>` and `v.<path>`, and the averages, `a.<path>`; a missing moment is zero.
            step: the number of the step, from 1.
            learning_rate: the rate of this step, in place of the setting.
        """
        before = {path: parameters[path] for path in gradients}
        self._step(parameters, gradients, state, step, learning_rate)
        if self.average_decay:
            for path, start in before.items():
                average = state[f"a.{path}"] if step > 1 else start
                share = average.dtype.type(1 - self.average_decay)
                state[f"a.{path}"] = average + share * (parameters[path] - average)

    def _step(
        self,
        parameters: dict[str, Array],
        gradients: Mapping[str, Array],
        state: dict[str, Array],
        step: int,
        learning_rate: float,
    ) -> None:
        """Change the parameters and their moments."""
        for path, gradient in self.prepared(parameters, gradients).items():
            w = parameters[path]
            kind = w.dtype.type
            if self.weight_decay and self.decoupled:
                w = w * kind(1 - learning_rate * self.weight_decay)
            elif self.weight_decay:
                gradient = gradient + kind(self.weight_decay) * w
            zero = np.zeros_like(w)
            m = kind(self.beta1) * state.get(f"m.{path}", zero) + kind(1 - self.beta1) * gradient
            v = kind(self.beta2) * state.get(f"v.{path}", zero) + kind(1 - self.beta2) * gradient**2
            state[f"m.{path}"], state[f"v.{path}"] = m, v
            corrected = np.sqrt(v / kind(1 - self.beta2**step)) + kind(self.epsilon)
            parameters[path] = w - kind(learning_rate) * (m / kind(1 - self.beta1**step)) / corrected


class AveragedAdam(Adam):
    """Adam beside which an average `a` of every parameter w that changes is kept.

    It is w itself before the first step, and a + (1 - average) (w - a) after each. Steps do not read it.
    """

    average: float = Field(gt=0, lt=1)

    @property
    def average_decay(self) -> float:
        return self.average
