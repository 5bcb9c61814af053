"""The subject of a proof: a model at its full size, its weights, and the batches on which it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from acz.data.base import Examples
from acz.foundation.arrays import Array, Arrays
from acz.foundation.randomness import generator, keep_mask
from acz.model.losses import LOSSES
from acz.model.optimizer import Adam
from acz.model.spec import Spec
from acz.reference.samples import Batch

HOSTILE = 8
"""Videos of the hostile batch, at most."""
PART = 32
"""Videos of the batch whose gradients are compared, at most."""
SEED = 0


@dataclass(frozen=True)
class Subject:
    """A model with its weights, as they are stored, and its batches by name."""

    model: str
    spec: Spec
    parameters: Mapping[str, Array]
    loss: str
    batches: Mapping[str, Batch]
    data: str = ""
    """The fingerprint of the data set; empty where the numbers are drawn."""
    optimizer: Adam = field(default_factory=Adam)
    frozen: tuple[str, ...] = ()


def batch_of(spec: Spec, loss: str, examples: Examples) -> Batch:
    """A batch of a data set, with dropout masks; videos without labels get drawn ones."""
    videos = len(next(iter(examples.inputs.values())))
    labels = examples.labels
    if labels.ndim == 2 and labels.shape[1] == 0:
        labels = drawn_labels(spec, loss, videos)
    return Batch("data", examples.inputs, labels, _masks(spec, examples.inputs))


def drawn_batch(spec: Spec, loss: str, videos: int) -> Batch:
    """A batch of drawn numbers."""
    source = generator(SEED, "proof", "inputs")
    inputs: Arrays = {}
    for name, entry in spec.inputs.items():
        shape = (videos, *entry.resolve())
        drawn = source.integers(0, 256, shape, np.uint8) if entry.dtype == "uint8" else source.standard_normal(shape)
        inputs[name] = drawn if entry.dtype == "uint8" else drawn.astype(np.float32)
    return Batch("data", inputs, drawn_labels(spec, loss, videos), _masks(spec, inputs))


def batches_of(spec: Spec, batch: Batch) -> dict[str, Batch]:
    """The batches of a subject: `data` as it is, its first videos for gradients as `part`, and a hostile one."""
    whole = {"data": batch}
    if len(batch.labels) > PART:
        first = {key: value[:PART] for key, value in batch.inputs.items()}
        masks = {path: mask[:PART] for path, mask in batch.dropout.items()}
        whole["part"] = Batch("part", first, batch.labels[:PART], masks)
    return whole | {"hostile": hostile_batch(spec, batch)}


def hostile_batch(spec: Spec, batch: Batch) -> Batch:
    """The first videos of a batch made hard: zeros, equal frames, huge numbers, one valid frame, no valid frame."""
    inputs: Arrays = {}
    for name, entry in spec.inputs.items():
        x = np.array(batch.inputs[name][:HOSTILE])
        x[0] = 0
        if len(x) > 1:
            x[1] = x[1, :1] if entry.has_frames else x[0]
        if len(x) > 2:
            x[2] = 255 if x.dtype == np.uint8 else x[2] * 1024
        if entry.has_frames:
            mask = np.array(batch.inputs.get(f"{name}.mask", np.ones(x.shape[:2], bool))[:HOSTILE], bool)
            if len(x) > 3:
                mask[3] = np.arange(x.shape[1]) < 1
            if len(x) > 4:
                mask[4] = False
            x[~mask] = 255 if x.dtype == np.uint8 else 1e6  # the contents of padding must not count
            inputs[f"{name}.mask"] = mask
        inputs[name] = x
    labels = np.array(batch.labels[:HOSTILE])
    if labels.ndim == 2:
        labels[-1] = 0  # a video without a label
    return Batch("hostile", inputs, labels, {path: mask[:HOSTILE] for path, mask in batch.dropout.items()})


def drawn_labels(spec: Spec, loss: str, videos: int) -> Array:
    """Labels of the kind that a loss takes."""
    source = generator(SEED, "proof", "labels")
    kind = LOSSES[loss].labels
    if kind == "class":
        return source.integers(0, spec.width, videos)
    if kind == "classes":
        return (source.random((videos, spec.width)) < 3 / spec.width).astype(np.uint8)
    return source.standard_normal((videos, spec.width)).astype(np.float32)


def _masks(spec: Spec, inputs: Mapping[str, Array]) -> Arrays:
    frames = {name: inputs[name].shape[1] for name, entry in spec.inputs.items() if entry.has_frames}
    videos = len(next(iter(inputs.values())))
    return {
        path: keep_mask(generator(SEED, "proof", "dropout", path), (videos, *shape), rate)
        for path, (shape, rate) in spec.dropout_masks(frames).items()
    }
