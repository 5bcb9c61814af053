"""Flash-MNIST: digits that flash up in noise (Long et al. 2018, section 4.1; the authors' code).

Noisy frames train an extractor. Videos of 25 frames become features; their labels are the sets of digits that they
show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.flash_mnist.digits import DigitImages, Images, PixelNoise, load_digits, load_mnist
from acz.data.flash_mnist.labels import as_set, as_zeros_and_ones
from acz.data.folder import read_manifest
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.randomness import generator

FRAMES = 25
DIGITS = 10
LABELS = 2**DIGITS
NOISE = 10
CHUNK = 128
"""Videos that are drawn at once. With those that wait, the frames of at most 384 videos are in memory, 8 MB."""
NOISY_SHARD = 32768


def noisy_frames(
    images: Images, noise: PixelNoise, seed: int, split: str, repeats: int
) -> Iterator[tuple[Array, Array]]:
    """Chunks of frames (count, 1, 28, 28) and labels (count), in a fixed random order.

    Every image comes `repeats` times, on fresh noise. A tenth as many frames are pure noise, with label 10.
    """
    shown = len(images.digits) * repeats
    order = generator(seed, "noisy", split).permutation(shown + shown // 10)
    for start in range(0, len(order), NOISY_SHARD):
        chosen = order[start : start + NOISY_SHARD]
        source = generator(seed, "noisy", split, start)
        frames = noise.draw(source, (len(chosen), 28, 28))
        is_digit = chosen < shown
        which = chosen[is_digit] // repeats
        frames[is_digit] = np.maximum(frames[is_digit], images.pixels[which])
        labels = np.full(len(chosen), NOISE, dtype=np.int64)
        labels[is_digit] = images.digits[which]
        yield frames[:, None], labels


class Videos:
    """The videos of one split, drawn chunk by chunk; each chunk depends on the seed and its number alone."""

    def __init__(self, images: Images, noise: PixelNoise, seed: int, split: str, videos_per_label: int) -> None:
        self.noise, self.seed, self.split = noise, seed, split
        self.count = videos_per_label * LABELS
        self.by_digit = [images.pixels[images.digits == digit] for digit in range(10)]

    def labels(self, start: int, stop: int) -> Array:
        """The labels of videos start .. stop - 1, int64. They run round: 1,024 videos in a row have each label once."""
        return np.arange(start, stop, dtype=np.int64) % LABELS

    def chunk(self, number: int) -> tuple[Array, Array]:
        """Frames (videos, 25, 28, 28) and labels (videos) of chunk `number`."""
        start = number * CHUNK
        labels = self.labels(start, min(start + CHUNK, self.count))
        source = generator(self.seed, "videos", self.split, number)
        frames = self.noise.draw(source, (len(labels), FRAMES, 28, 28))
        shown = as_zeros_and_ones(labels)
        times = shown * source.integers(1, 3, shown.shape)  # once or twice
        video, digit = (np.repeat(index, times.reshape(-1)) for index in np.indices(times.shape).reshape(2, -1))
        position = np.arange(len(video)) - np.searchsorted(video, video)  # 0, 1, .. within each video
        places = source.permuted(np.tile(np.arange(FRAMES), (len(labels), 1)), axis=1)[video, position]
        draws = source.random(len(video))
        for value in range(10):
            same = digit == value
            images = self.by_digit[value]
            chosen = images[(draws[same] * len(images)).astype(np.int64)]
            at = (video[same], places[same])
            frames[at] = np.maximum(frames[at], chosen)
        return frames, labels


class Frames:
    """Draws the frames of Flash-MNIST's videos again. Seed, split and number determine them, so they are not stored."""

    def __init__(self, folder: Path, mnist: Path | None) -> None:
        """Open the images that the videos of a folder show.

        Args:
            folder: A finished data set.
            mnist: The folder of MNIST's files, which are not stored with videos that show them.

        Raises:
            DataError: `mnist` is missing, or its images are not those of the videos.
        """
        self.origin = read_manifest(folder).made
        images = self._images(folder, mnist)
        if images.hash != self.origin.get("images"):
            raise DataError(
                f"{mnist or 'scikit-learn'} has other images than those that {folder} was made from: their hash is "
                f"{images.hash[:16]}, the manifest says {str(self.origin.get('images'))[:16]}; "
                "--mnist takes the folder of these"
            )
        self.parts = {"train": images.train, "test": images.test}
        self.noise = PixelNoise.of(images.train.pixels, images.test.pixels)

    def _images(self, folder: Path, mnist: Path | None) -> DigitImages:
        if self.origin.get("digits") != "mnist":
            return load_digits()
        if mnist is None:
            raise DataError(
                f"the videos of {folder} are made from MNIST, whose images are not stored with them; "
                "give the folder of its four files with --mnist"
            )
        return load_mnist(mnist)

    def make(self, split: str, number: int, label: Any) -> Array:
        """The frames of one video, uint8 (frames, 28, 28). Raises DataError where its label is not `label`."""
        label = as_set(label)
        per_label = int(self.origin[f"{split}_videos_per_label"])
        videos = Videos(self.parts[split], self.noise, int(self.origin["seed"]), split, per_label)
        frames, labels = videos.chunk(number // CHUNK)
        if labels[number % CHUNK] != label:
            raise DataError(f"video {number} of '{split}' has the label {label}, made again {labels[number % CHUNK]}")
        video: Array = frames[number % CHUNK]
        return video
