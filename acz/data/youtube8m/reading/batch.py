"""The arrays of a batch, and putting a video into a row of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from acz.data.youtube8m.reading.sampling import select
from acz.data.youtube8m.settings import MOST_FRAMES, Reading
from acz.data.youtube8m.shards.video import MEAN, Video
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.losses import UNRATED

BUCKET = 20
"""The number of frames of a batch of whole videos is a multiple of this, so that frameworks compile few shapes."""


@dataclass(frozen=True)
class Form:
    """The arrays of a batch. Every batch of a data set has one form, so that a framework compiles it once.

    `frames` is the length of the axis of frames. A video with fewer frames is filled up with zeros; the mask marks its
    frames. `floats` names the inputs of frames that are float32; the others are uint8.
    """

    names: tuple[str, ...]
    widths: Mapping[str, int]
    floats: tuple[str, ...]
    frames: int
    reading: Reading

    @property
    def masks(self) -> bool:
        """True where inputs have masks."""
        return not self.reading.sampling.always_full

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """The shape of a row and the dtype of each array, by name."""
        reading = self.reading
        several = reading.labels == "multi_hot"
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            "labels": ((reading.classes if several else reading.most_labels,), _type_of_labels(reading))
        }
        for name in self.names:
            width = self.widths[name.removeprefix(MEAN)]
            if name.startswith(MEAN):
                shapes[name] = ((width,), "<f4")
                continue
            shapes[name] = ((self.frames, width), "<f4" if name in self.floats else "|u1")
            if self.masks:
                shapes["mask"] = ((self.frames,), "|b1")
        return shapes

    def new(self, videos: int) -> dict[str, Array]:
        """Arrays for this many videos, not filled."""
        return {name: np.empty((videos, *shape), dtype) for name, (shape, dtype) in self.shapes().items()}

    def inputs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """A batch's inputs by name; all modalities share one mask."""
        inputs = {name: arrays[name] for name in self.names}
        if "mask" in arrays:
            inputs |= {f"{name}.mask": arrays["mask"] for name in self.names if not name.startswith(MEAN)}
        return inputs


def count_frames(reading: Reading, longest: int) -> int:
    """The length of a batch's axis of frames: that of the sampling, or enough for a video of `longest` frames."""
    sampling = reading.sampling
    if reading.segments is not None:
        return longest
    if sampling.frames is not None:
        return sampling.bags * sampling.frames
    return min(MOST_FRAMES, -(-longest // BUCKET) * BUCKET)


def fill(
    arrays: Mapping[str, Array], row: int, video: Video, form: Form, seed: int = 0, epoch: int | None = None
) -> None:
    """Put a video into one row of a batch.

    Args:
        arrays: The arrays of the batch.
        row: The number of the row.
        video: The video.
        form: The form of the batch, with the settings that sample frames.
        seed: The seed of the run.
        epoch: The epoch of training; None in evaluation.

    Raises:
        DataError: The video has more labels than the row has room for.
    """
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


def _type_of_labels(reading: Reading) -> str:
    if reading.segments == "rated":
        return "<f4"
    return "|u1" if reading.labels == "multi_hot" else "<i4"


def _fill_labels(target: Array, video: Video, reading: Reading) -> None:
    if video.scores is not None:
        target[:] = UNRATED
        target[video.labels] = video.scores
        return
    if reading.labels == "multi_hot":
        target[:] = 0
        target[video.labels] = 1
        return
    if len(video.labels) > len(target):
        raise DataError(
            f"video {video.id} has {len(video.labels)} labels and most_labels is {len(target)}; "
            f"--set data.reading.most_labels={len(video.labels)} fits"
        )
    target[: len(video.labels)] = video.labels
    target[len(video.labels) :] = -1
