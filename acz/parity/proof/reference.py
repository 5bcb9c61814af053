"""The reference's work on a model of full size, in parts of a batch, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import gcd, prod
from typing import Any

import numpy as np

from acz.foundation.arrays import Array, Arrays
from acz.model.losses import LOSSES
from acz.model.spec import Spec
from acz.parity.proof.directions import signs
from acz.reference.derivatives import layers_unaffected_by
from acz.reference.execution import run
from acz.reference.samples import Batch

PART = 32
"""Videos that are computed at once."""
KEPT = 2**20
"""The most numbers of a value that are compared; of a larger one every n-th is."""
STEP = {np.dtype(np.float64): 1e-30, np.dtype(np.float32): 1e-20}
"""The imaginary step of a derivative; its square vanishes beside 1."""
Advance = Callable[[], None]


def stride(shape: tuple[int, ...]) -> int:
    """The n of a value of which every n-th number is compared. It divides no row evenly, so that every column is met."""
    n = max(1, -(-prod(shape) // KEPT))
    while n > 1 and gcd(n, shape[-1]) > 1:
        n += 1
    return n


def parts(spec: Spec, training: bool, videos: int) -> list[slice]:
    """The parts of a batch. A batch norm in training takes the whole batch at once."""
    size = videos if training and spec.statistics else PART
    return [slice(start, min(start + size, videos)) for start in range(0, videos, size)]


def take(arrays: Mapping[str, Array], part: Any) -> Arrays:
    """The same videos of each array: a slice, or numbers."""
    return {name: value[part] for name, value in arrays.items()}


def fed(inputs: Mapping[str, Array], dtype: Any) -> Arrays:
    """Inputs in a precision; bytes and masks stay."""
    return {name: value.astype(dtype) if value.dtype.kind == "f" else value for name, value in inputs.items()}


class Pass:
    """One pass over a batch: every layer's output, the loss, and the derivatives from there.

    Args:
        parameters: float64 or float32; the precision of the pass.
        advance: called after each run of the model.
    """

    def __init__(
        self,
        spec: Spec,
        parameters: Mapping[str, Array],
        batch: Batch,
        training: bool,
        loss: str,
        advance: Advance = lambda: None,
    ) -> None:
        self.spec, self.parameters, self.batch, self.training, self.loss = spec, parameters, batch, training, loss
        self.dtype = next(iter(parameters.values())).dtype
        self.advance = advance
        self.parts = parts(spec, training, len(batch.labels))
        self.inputs = fed(batch.inputs, self.dtype)
        self.updated: Arrays = {}
        pieces: dict[str, list[Array]] = {}
        for part in self.parts:
            result = run(spec, parameters, take(self.inputs, part), training, True, take(batch.dropout, part))
            values = {**result.recorded, "logits": result.logits, "output": result.output}
            for name in (*spec.recordable, "logits", "output"):
                pieces.setdefault(name, []).append(values[name])
            self.updated |= result.updated
            advance()
        self.values: Arrays = {name: np.concatenate(several) for name, several in pieces.items()}
        """Every value of the whole batch."""

    def loss_value(self) -> float:
        """The loss of the batch."""
        return float(LOSSES[self.loss].reference(self.values["logits"], self.values["output"], self.batch.labels))

    def derivative(self, direction: str, paths: tuple[str, ...]) -> float:
        """The derivative of the loss along a direction, by one complex step."""
        step = STEP[self.dtype]
        changed: Arrays = {}
        for path in paths:
            value = self.parameters[path]
            slot = np.empty(value.shape, np.result_type(self.dtype, np.complex64))
            slot.real = value
            slot.imag = signs(direction, path, value.shape)
            slot.imag *= step
            changed[path] = slot
        now = {**self.parameters, **changed}
        unaffected = layers_unaffected_by(self.spec, paths[0]) if len(paths) == 1 else []
        known = {layer: self.values[layer] for layer in unaffected}
        logits, output = [], []
        for part in self.parts:
            result = run(
                self.spec,
                now,
                take(self.inputs, part),
                self.training,
                False,
                take(self.batch.dropout, part),
                take(known, part),
                statistics=False,
            )
            logits.append(result.logits)
            output.append(result.output)
            self.advance()
        stepped = LOSSES[self.loss].reference(np.concatenate(logits), np.concatenate(output), self.batch.labels)
        return float(stepped.imag / step)
