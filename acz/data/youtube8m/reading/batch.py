"""The arrays of a batch, and how a video gets into a row of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from acz.data.youtube8m.reading.sampling import select
from acz.data.youtube8m.settings import MOST_FRAMES, Reading
from acz.data.youtube8m.shards.video import MEAN, Video
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError

BUCKET = 20
"""The frames of a batch that holds whole videos are a multiple of this, so that frameworks compile few shapes."""


@dataclass(frozen=True)
class Form:
    """What a batch looks like. Every batch of a data set has one form, so a framework compiles it once.

    `frames` is the length of the axis of frames; a video with fewer is filled up with zeros, which the mask tells apart.
    """

    names: tuple[str, ...]
    widths: Mapping[str, int]
    frames: int
    reading: Reading

    @property
    def masks(self) -> bool:
        """Whether inputs have masks."""
        return not self.reading.sampling.always_full

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape of a row and dtype of each array."""
        reading = self.reading
        several = reading.labels == "multi_hot"
        found: dict[str, tuple[tuple[int, ...], str]] = {
            "labels": ((reading.classes if several else reading.most_labels,), "|u1" if several else "<i4")
        }
        for name in self.names:
            width = self.widths[name.removeprefix(MEAN)]
            if name.startswith(MEAN):
                found[name] = ((width,), "<f4")
                continue
            found[name] = ((self.frames, width), "|u1")
            if self.masks:
                found["mask"] = ((self.frames,), "|b1")
        return found

    def new(self, videos: int) -> dict[str, Array]:
        """Arrays for so many videos, not filled."""
        return {name: np.empty((videos, *shape), dtype) for name, (shape, dtype) in self.shapes().items()}

    def inputs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """A batch's inputs by name; all modalities share one mask."""
        found = {name: arrays[name] for name in self.names}
        if "mask" in arrays:
            found |= {f"{name}.mask": arrays["mask"] for name in self.names if not name.startswith(MEAN)}
        return found


def count_frames(reading: Reading, longest: int) -> int:
    """The length of a batch's axis of frames: what the sampling asks for, or enough for a video of `longest` frames."""
    sampling = reading.sampling
    if sampling.frames is not None:
        return sampling.bags * sampling.frames
    return min(MOST_FRAMES, -(-longest // BUCKET) * BUCKET)


def fill(
    arrays: Mapping[str, Array], row: int, video: Video, form: Form, seed: int = 0, epoch: int | None = None
) -> None:
    """Put a video into one row: its frames as the settings sample them, in an epoch of training or (none) in evaluation. Raises DataError."""
    _fill_labels(arrays["labels"][row], video, form.reading)
    sampling = form.reading.sampling
    plain = sampling.type == "all" and not (sampling.halves and epoch is not None)
    picked = None if plain or not video.frames else select(sampling, video.frames, video.id, seed, epoch)
    for name in form.names:
        target, value = arrays[name][row], video.features[name]
        if value.ndim == 1:
            target[:] = value
        elif picked is None:
            count = min(len(value), len(target))
            target[:count] = value[:count]
            target[count:] = 0
        else:
            bags, count = picked.shape
            by_bag = target.reshape(bags, -1, target.shape[-1])
            by_bag[:, :count] = value[picked]
            by_bag[:, count:] = 0
    if "mask" in arrays:
        mask = arrays["mask"][row]
        by_bag = mask.reshape(1 if picked is None else len(picked), -1)
        by_bag[:] = np.arange(by_bag.shape[1]) < (video.frames if picked is None else picked.shape[1])


def _fill_labels(target: Array, video: Video, reading: Reading) -> None:
    if reading.labels == "multi_hot":
        target[:] = 0
        target[video.labels] = 1
        return
    if len(video.labels) > len(target):
        raise DataError(
            f"video {video.id} has {len(video.labels)} labels and most_labels is {len(target)}; set it to what your videos have"
        )
    target[: len(video.labels)] = video.labels
    target[len(video.labels) :] = -1
