"""A data set from video files: a folder of arrays, or shards of YouTube-8M."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.arrays.features import list_features
from acz.data.arrays.labels import open_labels
from acz.data.arrays.split import GivenSplit
from acz.data.arrays.writing import SETTINGS, Classes, write_splits
from acz.data.folder import read_manifest
from acz.data.videos.extractor import Extractor
from acz.data.videos.ffmpeg import Limits
from acz.data.videos.listing import VALIDATION, ListedVideo, class_names, class_numbers, plain_name, split_of
from acz.data.videos.store import Store, StoredVideo, store_features
from acz.data.youtube8m.making.synthesize import encode
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import remove_leftovers, write_atomically, write_text_atomically
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.locks import locked
from acz.foundation.files.tfrecord import framed

MADE = "videos"
"""The kind of such a data set, in its settings and its manifest."""
STORE, CLASSES_FILE, BAD_VIDEOS = "videos", "classes.txt", "bad_videos.txt"
"""Names in the folder: the features of single videos, the names of the classes, and the files that were left out."""
FEATURES, CLASS_NAMES = "features", "class_names"
"""The keys of the extractor and of the names of the classes in a manifest."""
VIDEOS_OF_A_SHARD = 500
SHARD_WORDS = {VALIDATION: "validate"}
"""The names of splits in the names of shards, where they differ."""


@dataclass
class MadeVideos:
    """The data set that was made."""

    videos: dict[str, int]
    """By split."""
    classes: list[str]
    """The names of the classes; empty without labels."""
    several_labels: bool
    widths: dict[str, int]
    """The number of features of each modality."""
    frames: int
    """Frames of the longest video."""
    bad: dict[str, str] = field(default_factory=dict)
    """The reason by the name of each video that was left out."""
    silent: int = 0
    """Videos without sound, which have the features of silence."""


@dataclass(frozen=True)
class Making:
    """The settings of a data set from videos."""

    extractor: Extractor
    share: float = 0.2
    """The share of the videos that are in the split `validation`."""
    shards: bool = False
    """Writes shards of YouTube-8M in place of arrays."""
    on_bad: str = "fail"
    """fail: stop at the first file that can't be read. skip: leave it out."""
    workers: int = 2
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """The settings on which the features depend."""
        return {"what": MADE, "shards": self.shards, "features": self.extractor.to_json()}


def make_data(
    videos: Sequence[ListedVideo],
    out: Path,
    making: Making,
    progress: Callable[[str, int, int, float], None] = lambda what, done, total, seconds: None,
) -> MadeVideos:
    """Extract the features of videos, and write a data set. An interrupted call is resumed by the same call.

    Files whose features are stored in the folder are not decoded again, also where other files came or went.

    Args:
        videos: The videos with their labels.
        out: The folder to write.
        making: The settings.
        progress: Is called with a step's name, the videos that are done, all of them, and the seconds of video so far.

    Raises:
        DataError: A video can't be read and `on_bad` is fail, no video can be read, or `out` holds something else.
        OSError: The disk is full, or the folder is read-only.
    """
    bad: dict[str, str] = {}
    if making.on_bad not in ("fail", "skip"):
        raise DataError(f"on_bad_video (--on-bad-video) must be fail or skip, got {making.on_bad!r}")
    if making.shards:
        _require_bytes(making.extractor)

    def on_bad(video: ListedVideo, error: DataError) -> None:
        if making.on_bad == "fail":
            raise DataError(f"{error}; --on-bad-video skip leaves such files out") from None
        bad[plain_name(video.name)] = str(error)

    with locked(out):
        claim_folder(out, SETTINGS, making.to_json())
        remove_leftovers(out)
        stored = store_features(
            videos,
            making.extractor,
            Store(out / STORE),
            making.limits,
            making.workers,
            on_bad,
            lambda done, seconds: progress("extracting features", done, len(videos), seconds),
        )
        if not stored:
            raise DataError(f"{out}: none of {len(videos):,} videos can be read; the first: {next(iter(bad.values()))}")
        contents = _Contents(stored, class_names(videos), making)
        write_text_atomically(out / CLASSES_FILE, "".join(f"{name}\n" for name in contents.names))
        write_text_atomically(out / BAD_VIDEOS, "".join(f"{name}: {reason}\n" for name, reason in bad.items()))
        if making.shards:
            contents.write_shards(out)
        else:
            contents.write_arrays(out)
    counts = {name: len(own) for name, own in contents.splits.items()}
    frames = max(entry.rows for entry in stored)
    silent = sum(entry.silent for entry in stored)
    return MadeVideos(counts, contents.names, contents.several, contents.widths(out), frames, bad, silent)


def _require_bytes(extractor: Extractor) -> None:
    wanted = {"rgb": True, "audio": True}
    given = {name: entry.bytes is not None for name, entry in extractor.settings.modalities.items()}
    if given != wanted:
        raise DataError(
            f"shards hold bytes of rgb and audio, and '{extractor.name}' gives others; "
            "leave out --shards, or add 'bytes: truncate' and a projection to its file"
        )


class _Contents:
    """The videos of a data set by split, with the numbers of their classes."""

    def __init__(self, stored: Sequence[StoredVideo], names: list[str], making: Making) -> None:
        self.names, self.making = names, making
        self.numbers = {name: number for number, name in enumerate(names)}
        self.several = any(len(entry.video.labels) != 1 for entry in stored)
        splits: dict[str, list[StoredVideo]] = {}
        for entry in stored:
            splits.setdefault(split_of(entry.video, entry.content, making.share), []).append(entry)
        self.splits = {name: splits[name] for name in sorted(splits)}

    @property
    def modalities(self) -> list[str]:
        return list(self.making.extractor.settings.modalities)

    def widths(self, out: Path) -> dict[str, int]:
        """The number of features of each modality."""
        first = next(iter(self.splits.values()))[0]
        return {name: int(Store(out / STORE).read(first.content, name).shape[1]) for name in self.modalities}

    def classes_of(self, entry: StoredVideo) -> list[int]:
        return class_numbers(entry.video, self.numbers)

    def made(self) -> dict[str, Any]:
        """The facts for the manifest. The same videos, labels, splits and features give the same facts."""
        listing = [
            [split, plain_name(entry.video.name), entry.content, self.classes_of(entry)]
            for split, own in self.splits.items()
            for entry in own
        ]
        return {
            "what": MADE,
            **({"classes": len(self.names), CLASS_NAMES: self.names} if self.names else {}),
            FEATURES: self.making.extractor.to_json(),
            "listing": hashlib.sha256(json.dumps(listing).encode()).hexdigest(),
        }

    def write_arrays(self, out: Path) -> None:
        """Write the folder of arrays, unless it is there with the same videos."""
        former: list[str] = []
        if (out / "manifest.json").is_file():
            manifest = read_manifest(out)
            if manifest.made == self.made():
                return
            former = list(manifest.splits)
            (out / "manifest.json").unlink()
        for name in {*former, *self.splits}:
            shutil.rmtree(out / name, ignore_errors=True)
        store, classes = Store(out / STORE), Classes(len(self.names), self.several) if self.names else None
        write_splits({name: self._given(own, store) for name, own in self.splits.items()}, out, classes, self.made())

    def _given(self, own: Sequence[StoredVideo], store: Store) -> GivenSplit:
        """The arrays of a split, which are read when they are written."""
        places = [str(entry.video.path) for entry in own]
        inputs = {
            name: list_features(str(store.folder), places, partial(_read_row, store, own, name), [])
            for name in self.modalities
        }
        labels: list[Any] = [self.classes_of(entry) for entry in own]
        if not self.several:
            labels = [classes[0] for classes in labels]
        ids = np.array([plain_name(entry.video.name) for entry in own], np.str_)
        return GivenSplit(np.arange(len(own)), inputs, open_labels(labels) if self.names else None, ids, {})

    def write_shards(self, out: Path) -> None:
        """Write shards of YouTube-8M: train0000.tfrecord, validate0000.tfrecord and so on."""
        planned: dict[Path, list[StoredVideo]] = {}
        for split, own in self.splits.items():
            word = SHARD_WORDS.get(split, split)
            for start in range(0, len(own), VIDEOS_OF_A_SHARD):
                planned[out / f"{word}{start // VIDEOS_OF_A_SHARD:04d}.tfrecord"] = own[
                    start : start + VIDEOS_OF_A_SHARD
                ]
        for path in set(out.glob("*.tfrecord")) - planned.keys():
            path.unlink()
        for path, own in planned.items():
            content = b"".join(framed(self._record(entry, Store(out / STORE))) for entry in own)
            write_atomically(path, partial(Path.write_bytes, data=content))

    def _record(self, entry: StoredVideo, store: Store) -> bytes:
        features = {name: store.read(entry.content, name) for name in self.modalities}
        labels = self.classes_of(entry) if self.names else None
        return encode(plain_name(entry.video.name), labels, features)


def _read_row(store: Store, own: Sequence[StoredVideo], name: str, row: int) -> Array:
    return store.read(own[row].content, name)
