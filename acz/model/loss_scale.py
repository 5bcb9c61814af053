"""The scale of the loss in float16, by one rule for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import CheckFailed
from acz.model.precision import Precision

START = 2.0**16
INTERVAL = 2000
"""Steps with finite gradients after which the scale doubles."""
LARGEST, SMALLEST = 2.0**24, 2.0**-14


@dataclass
class LossScale:
    """Small gradients would vanish in float16, so the loss is multiplied by a power of two before the backward pass.

    The gradients of the parameters are divided by it before penalties and clipping. Where one of them is not finite,
    the step changes nothing: no parameter, moment, statistic or count of steps. The scale is then halved. After
    INTERVAL finite steps in a row it doubles, to LARGEST at most.

    Source: Micikevicius et al. 2018, Mixed Precision Training, section 3.2.
    """

    scale: float = START
    growth: int = 0
    """Finite steps since the scale last changed."""

    def update(self, finite: bool) -> None:
        """Change the scale after a step.

        Raises:
            CheckFailed: the gradients are not finite, however small the scale is.
        """
        self.growth = self.growth + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self.growth == INTERVAL:
            self.scale, self.growth = min(2 * self.scale, LARGEST), 0
        if self.scale < SMALLEST:
            raise CheckFailed(
                "the gradients are not finite in float16, whatever the loss is multiplied by; "
                "type --precision bfloat16, which has float32's range, or check the data"
            )

    def dump(self) -> dict[str, Array]:
        """The state for a checkpoint of the optimiser: `scale` and `growth`."""
        return {"scale": np.array(self.scale, np.float64), "growth": np.array(self.growth, np.int64)}

    def load(self, state: Mapping[str, Array]) -> None:
        """Resume from a state; one of another precision has no scale, and leaves the start."""
        start = LossScale()
        self.scale, self.growth = float(state.get("scale", start.scale)), int(state.get("growth", start.growth))


def scale_for(precision: Precision | None) -> LossScale | None:
    """The scale of a training in a precision; None where the loss needs none."""
    return LossScale() if precision is Precision.FLOAT16 else None
