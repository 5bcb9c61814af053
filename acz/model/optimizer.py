"""Adam, as every backend is to run it, and what is done to gradients before."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from acz.foundation.arrays import Array
from acz.foundation.errors import SpecError, nearest


class Adam(BaseModel):
    """Kingma and Ba 2015, algorithm 1, with the epsilon beside the corrected second moment.

    In the order in which they act on a gradient g of a parameter w:
    `l2_penalty`, by patterns of paths, adds factor * sum(w^2) / 2 to the loss, so factor * w to g;
    `clip_norm` scales each tensor's g on its own to that norm at most: g * limit / max(||g||, limit);
    `clip_global_norm` scales all tensors by one factor, so that the norm of all of them together is that at most;
    `weight_decay` of every parameter: `decoupled: false` adds weight_decay * w to g (L2), unclipped; `true` shrinks the weights by
    learning_rate * weight_decay first (Loshchilov and Hutter 2019).
    Fixed parameters and statistics are left alone. The loss that training reports is without the penalty, so that it is
    what evaluation reports.
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

    def outside_epsilon(self, step: int) -> float:
        """The epsilon that means the same at `step` (from 1) in lr_t m / (sqrt(v) + epsilon), TensorFlow's and MindSpore's form."""
        return float(self.epsilon * np.sqrt(1 - self.beta2**step))

    def penalties(self, trained: Iterable[str]) -> dict[str, float]:
        """The factor of each trained parameter that a pattern names; of several patterns the sum.

        Raises SpecError for a pattern that names none.
        """
        found: dict[str, float] = {}
        paths = list(trained)
        for pattern, factor in self.l2_penalty.items():
            named = [path for path in paths if fnmatch.fnmatchcase(path, pattern)]
            if not named:
                raise SpecError(
                    f"train.optimizer.l2_penalty: '{pattern}' names no trained parameter; {nearest(pattern, paths)}"
                )
            for path in named:
                found[path] = found.get(path, 0.0) + factor
        return found

    def prepared(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> dict[str, Array]:
        """Gradients with penalty and clipping."""
        penalties = self.penalties(gradients)
        found = {path: g + g.dtype.type(penalties.get(path, 0.0)) * parameters[path] for path, g in gradients.items()}
        if self.clip_norm is not None:
            limit = self.clip_norm
            found = {
                path: g * g.dtype.type(limit / max(float(np.sqrt((g * g).sum())), limit)) for path, g in found.items()
            }
        if self.clip_global_norm is not None:
            limit = self.clip_global_norm
            norm = float(np.sqrt(sum((g * g).sum() for g in found.values())))
            found = {path: g * g.dtype.type(limit / max(norm, limit)) for path, g in found.items()}
        return found

    def reference_step(
        self,
        parameters: dict[str, Array],
        gradients: Mapping[str, Array],
        state: dict[str, Array],
        step: int,
        learning_rate: float,
    ) -> None:
        """One step in place, `step` counted from 1; `state` holds `m.<path>` and `v.<path>`."""
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
