"""Numbers for trying a model: parameters, and plain and hostile batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.randomness import generator, keep_mask
from acz.model.losses import LOSSES
from acz.model.parameters import initial_parameters
from acz.model.spec import Spec

VIDEOS = 4


@dataclass(frozen=True)
class Batch:
    """Inputs, labels and dropout masks of a few videos; numbers are exact in float32."""

    name: str
    inputs: dict[str, Array]
    labels: Array
    dropout: dict[str, Array]

    def masked(self, spec: Spec) -> Batch:
        """The same batch; inputs without a mask get one of valid frames alone."""
        inputs: dict[str, Array] = {}
        for key, value in self.inputs.items():
            inputs[key] = value
            if key in spec.inputs and spec.inputs[key].has_frames:
                inputs[f"{key}.mask"] = np.ones(value.shape[:2], dtype=bool)  # a mask that is here comes next
        return replace(self, inputs=inputs)


@dataclass(frozen=True)
class Case:
    """One model to compare. Parameters are in float64 and exact in float32; statistics are not at their start."""

    model: str
    spec: Spec
    loss: str
    """The name of the loss that is taken of it."""
    frozen: tuple[str, ...] = ()
    """Paths of the parameters and statistics that stay in training."""

    @property
    def parameters(self) -> dict[str, Array]:
        """Arrays by path: the initial values, changed so that no two are alike."""
        parameters = {}
        for path, start in initial_parameters(self.spec, 1).items():
            source = generator(1, "parity", self.model, path)
            if path.endswith("running_variance"):
                value = source.uniform(0.5, 2.0, start.shape)
            else:
                value = 1.5 * start + 0.2 * source.standard_normal(start.shape)
            parameters[path] = round_to_float32(value)
        return parameters

    def batch(self, name: str, step: int = 0, videos: int = VIDEOS) -> Batch:
        """A batch of one kind.

        Args:
            name: the kind, one of `names`.
            step: another number gives other numbers of the same kind.
            videos: videos in the batch.
        """
        spec = self.spec
        source = generator(2, "parity", self.model, name, step)
        inputs: dict[str, Array] = {}
        for key, entry in spec.inputs.items():
            frames = 1 if name == "one frame" and entry.has_frames else None
            shape = (videos, *entry.resolve(frames))
            if entry.dtype == "uint8":
                inputs[key] = source.integers(0, 256, shape, dtype=np.uint8)
            else:
                inputs[key] = round_to_float32(source.standard_normal(shape))
            if name == "zeros":
                inputs[key][:] = 0
            elif name == "equal":
                inputs[key][:] = inputs[key][:, :1] if entry.has_frames else inputs[key][:1]
            elif name == "huge" and entry.dtype != "uint8":
                inputs[key] *= 1024
            if name == "padded" and entry.has_frames:
                lengths = np.resize([shape[1], 1, 0, max(shape[1] - 2, 1)], videos)
                mask = np.arange(shape[1]) < lengths[:, None]
                inputs[key][~mask] = 255 if entry.dtype == "uint8" else 1e6  # what padding holds must not count
                inputs[f"{key}.mask"] = mask
        frame_counts = {key: inputs[key].shape[1] for key, entry in spec.inputs.items() if entry.has_frames}
        dropout = {
            path: keep_mask(source, (videos, *shape), rate)
            for path, (shape, rate) in spec.dropout_masks(frame_counts).items()
        }
        labels: Array
        if LOSSES[self.loss].labels == "class":
            labels = source.integers(0, spec.width, videos)
        elif LOSSES[self.loss].labels == "classes":
            labels = (source.random((videos, spec.width)) < 0.4).astype(np.float32)
            labels[-1] = 0  # a video without a label
        else:
            labels = source.standard_normal((videos, spec.width)).astype(np.float32)
        return Batch(name, inputs, labels, dropout)

    @property
    def names(self) -> list[str]:
        """Kinds of batch: a plain one and the hostile ones that apply."""
        framed = any(entry.has_frames for entry in self.spec.inputs.values())
        return ["plain", "zeros", "equal", "huge", *(["padded", "one frame"] if framed else [])]


def round_to_float32(value: Array) -> Array:
    """float64 numbers that float32 holds too, so that precisions are compared on the same numbers."""
    return value.astype(np.float32).astype(np.float64)
