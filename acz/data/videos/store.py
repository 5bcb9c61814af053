"""The features of single videos on disk: each file is decoded once, whatever happens in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acz.data.videos.decoding import require_file
from acz.data.videos.extractor import Decoded, Extractor
from acz.data.videos.ffmpeg import Limits
from acz.data.videos.listing import ListedVideo
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import write_json
from acz.foundation.files.hashing import contents_hash
from acz.foundation.files.npy import map_npy, write_npy

KEPT = 32
"""Digits of the hash of a content in the names of files."""


@dataclass(frozen=True)
class StoredVideo:
    """A video whose features are stored."""

    video: ListedVideo
    content: str
    """The hash of its file."""
    rows: int
    silent: bool


class Store:
    """A folder with the features of videos, by the hashes of the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, content: str) -> dict[str, Any] | None:
        """The record of a video that is stored: `rows`, `silent` and the names of its arrays."""
        try:
            record = json.loads((self.folder / f"{content[:KEPT]}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if all(self.path(content, name).is_file() for name in record["arrays"]) else None

    def path(self, content: str, name: str) -> Path:
        """The file of a modality of a video."""
        return self.folder / f"{content[:KEPT]}.{name}.npy"

    def read(self, content: str, name: str) -> Array:
        """The features of a modality of a video. Raises DataError."""
        return map_npy(self.path(content, name))

    def write(self, content: str, arrays: dict[str, Array], silent: bool) -> None:
        """Store the features of a video; the record comes last. Raises OSError."""
        for name, array in arrays.items():
            write_npy(self.path(content, name), array)
        rows = len(next(iter(arrays.values())))
        write_json(self.folder / f"{content[:KEPT]}.json", {"rows": rows, "silent": silent, "arrays": sorted(arrays)})


def store_features(
    videos: Sequence[ListedVideo],
    extractor: Extractor,
    store: Store,
    limits: Limits,
    workers: int,
    on_bad: Callable[[ListedVideo, DataError], None],
    progress: Callable[[int, float], None],
) -> list[StoredVideo]:
    """Extract and store the features of videos that are not stored yet.

    Files are decoded by `workers` processes, while the networks compute what is decoded.

    Args:
        videos: The videos.
        extractor: The extractor.
        store: The place of the features.
        limits: Limits of each decoding.
        workers: Files that are decoded at once.
        on_bad: Is called with a video that can't be read, and the reason; it may raise it.
        progress: Is called with the videos that are done, and the seconds of video that were extracted.

    Returns:
        The videos that could be read, in their order.
    """
    stop, stored, seconds = threading.Event(), [], 0.0
    limits = replace(limits, stop=stop)

    def decode(video: ListedVideo) -> tuple[str, Decoded | None]:
        require_file(video.path)
        content = contents_hash([video.path])
        return content, None if store.find(content) else extractor.decode(video.path, limits)

    with ThreadPoolExecutor(workers) as pool:
        try:
            for done, (video, future) in enumerate(_ahead(pool, decode, videos, workers + 1), start=1):
                try:
                    content, decoded = future.result()
                    if decoded is not None and store.find(content) is None:
                        features = extractor.compute(decoded)
                        store.write(content, features.arrays, features.silent)
                        seconds += len(features.times) / extractor.settings.fps
                except DataError as error:
                    on_bad(video, error)
                else:
                    record = store.find(content)
                    assert record is not None
                    stored.append(StoredVideo(video, content, record["rows"], record["silent"]))
                progress(done, seconds)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return stored


def _ahead(
    pool: ThreadPoolExecutor,
    decode: Callable[[ListedVideo], tuple[str, Decoded | None]],
    videos: Sequence[ListedVideo],
    count: int,
) -> Iterator[tuple[ListedVideo, Future[tuple[str, Decoded | None]]]]:
    """The decodings in order, of which `count` run or wait, so that few decoded videos are in memory."""
    waiting: list[tuple[ListedVideo, Future[tuple[str, Decoded | None]]]] = []
    for video in videos:
        waiting.append((video, pool.submit(decode, video)))
        if len(waiting) > count:
            yield waiting.pop(0)
    yield from waiting
