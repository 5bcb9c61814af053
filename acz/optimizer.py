"""Adam, as every backend is to run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from acz.layers import Array


class Adam(BaseModel):
    """Kingma and Ba 2015, algorithm 1, with the epsilon beside the corrected second moment.

    `decoupled: false` adds weight_decay * w to the gradient (L2); `true` shrinks the weights by
    learning_rate * weight_decay first (Loshchilov and Hutter 2019). Fixed parameters and statistics are left alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    type: Literal["adam"] = "adam"
    learning_rate: float = Field(default=1e-3, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    decoupled: bool = False

    def outside_epsilon(self, step: int) -> float:
        """The epsilon that means the same at `step` (from 1) in lr_t m / (sqrt(v) + epsilon), TensorFlow's and MindSpore's form."""
        return float(self.epsilon * np.sqrt(1 - self.beta2**step))

    def reference_step(
        self,
        parameters: dict[str, Array],
        gradients: Mapping[str, Array],
        state: dict[str, Array],
        step: int,
        learning_rate: float,
    ) -> None:
        """One step in place, `step` counted from 1; `state` holds `m.<path>` and `v.<path>`."""
        for path, gradient in gradients.items():
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
