"""Building Flash-MNIST's files: noisy frames for the extractor, features for the models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.flash_mnist.digits import DigitImages, PixelNoise
from acz.data.flash_mnist.labels import as_zeros_and_ones
from acz.data.flash_mnist.videos import CHUNK, DIGITS, FRAMES, Videos, noisy_frames
from acz.data.folder import write_manifest, write_shard, written_shard
from acz.foundation.arrays import Array
from acz.foundation.processes.prefetch import prefetch

NOISY = "noisy"
"""The folder of the extractor's data, in that of the build."""
SHARD = 2048


@dataclass(frozen=True)
class Settings:
    """Settings that, with the images and the extractor, determine every byte of a data set."""

    digits: str
    seed: int = 0
    repeats: int = 5
    """The number of frames of noise that each training image is put on, for the extractor."""
    train_videos_per_label: int = 100
    test_videos_per_label: int = 10
    extractor_epochs: int = 3
    extractor: str = ""
    """The SHA-256 of an extractor that was given; empty where one is trained."""
    backend: str = ""
    images: str = ""
    """A hash of the digits' images and labels."""
    extractor_model: str = ""
    """The name of the model that is trained as the extractor; empty for `flash_mnist/extractor`."""

    @property
    def facts(self) -> dict[str, Any]:
        """The settings as a manifest keeps them. A data set of `flash_mnist/extractor` has the same as before there were others."""
        return {name: value for name, value in asdict(self).items() if value or name != "extractor_model"}


Progress = Callable[[str, int, int], None]
Extract = Callable[[Array], Array]
Read = Callable[[Array], Array]


def build_noisy(folder: Path, images: DigitImages, settings: Settings, progress: Progress) -> Path:
    """Write the frames that train the extractor, as a data set of its own. Returns its folder, `folder`/noisy."""
    out = folder / NOISY
    if (out / "manifest.json").is_file():
        return out
    noise = PixelNoise.of(images.train.pixels, images.test.pixels)
    splits: dict[str, list[dict[str, Any]]] = {}
    parts = (("train", images.train, settings.repeats), ("test", images.test, 1))
    for split, part, repeats in parts[1:] if settings.extractor else parts:  # a given extractor is only tested
        shown = len(part.digits) * repeats
        total, done = shown + shown // 10, 0
        splits[split] = []
        for number, (frames, labels) in enumerate(noisy_frames(part, noise, settings.seed, split, repeats)):
            splits[split].append(write_shard(out, split, number, {"frame": frames, "labels": labels}))
            done += len(labels)
            progress(f"noisy frames, {split}", done, total)
    write_manifest(out, splits, {"what": "noisy frames for the extractor", **settings.facts})
    return out


def rule_hits(features: Array, labels: Array, read: Read) -> int:
    """The number of videos whose label a rule finds without a model: a digit is in the set if any frame is read as it.

    Args:
        features: (videos, frames, features).
        labels: (videos), sets of digits as numbers.
        read: as in `build_features`.
    """
    digits = read(features.reshape(-1, features.shape[-1])).reshape(features.shape[:2])
    shown = (digits[:, :, None] == np.arange(DIGITS)).any(axis=1)  # (videos, digits)
    return int((shown == as_zeros_and_ones(labels)).all(axis=1).sum())


def build_features(
    folder: Path,
    images: DigitImages,
    settings: Settings,
    extract: Extract,
    read: Read | None,
    origin: dict[str, Any],
    progress: Progress,
) -> None:
    """Compute and write the features of all videos, after the last shard that an earlier build finished.

    Args:
        folder: The folder of the data set.
        images: The digits that the videos show.
        settings: The settings of the build.
        extract: Computes features (count, features) of frames uint8 (count, 1, 28, 28).
        read: Computes the class (count) that the extractor reads from features: a digit, or 10 for noise. With it the
            manifest has `rule_top1`.
        origin: Facts that the manifest keeps beside the settings.
        progress: Is called with a task, the videos that are done, and all of them.
    """
    noise = PixelNoise.of(images.train.pixels, images.test.pixels)
    splits: dict[str, list[dict[str, Any]]] = {}
    parts = (
        ("train", images.train, settings.train_videos_per_label),
        ("test", images.test, settings.test_videos_per_label),
    )
    for split, part, videos_per_label in parts:
        videos = Videos(part, noise, settings.seed, split, videos_per_label)
        splits[split] = []
        for number, start in enumerate(range(0, videos.count, SHARD)):
            stop = min(start + SHARD, videos.count)
            record = written_shard(folder, split, number)
            if record is None:
                chunks = range(start // CHUNK, (stop + CHUNK - 1) // CHUNK)
                features = []
                for frames, labels in prefetch((videos.chunk(chunk) for chunk in chunks), 1):
                    flat = extract(frames.reshape(-1, 1, 28, 28))
                    features.append(flat.reshape(len(labels), FRAMES, -1).astype(np.float32))
                    progress(f"videos, {split}", start + CHUNK * len(features), videos.count)
                arrays = {"features": np.concatenate(features), "labels": videos.labels(start, stop)}
                record = write_shard(folder, split, number, arrays)
            splits[split].append(record)
            progress(f"videos, {split}", stop, videos.count)
    if read is not None:
        hits = 0
        for record in splits["test"]:
            files = record["files"]
            features, labels = (np.load(folder / files[name]["file"]) for name in ("features", "labels"))
            hits += rule_hits(features, labels, read)
        origin = {**origin, "rule_top1": hits / sum(record["count"] for record in splits["test"])}
    write_manifest(folder, splits, {"what": "Flash-MNIST", **settings.facts, **origin})
