"""Pickles of YouTube-8M shards by PaddlePaddle's converter (PaddleCV/video, tf2pkl), read by the restricted unpickler.

Each is a list of dictionaries, or one dictionary where PaddleVideo's script has split it: `video` the id, `feature`
(frames, 1024) and `audio` (frames, 128), uint8 or float32, `label` a class, or a list or an array of classes, and
`nframes`. Widths may differ, and one modality may be missing. Pickles of Python 2 have byte strings as keys. `nframes` is at most 300 while the arrays
hold every frame, so the arrays are read, and `nframes` is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.youtube8m.shards.records import BadRecord
from acz.data.youtube8m.shards.video import Criteria, Video, checked
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.pickle_globals import text
from acz.foundation.files.unpickle import load
from acz.foundation.progress import show_progress

NAMES = {"rgb": "feature", "audio": "audio"}
"""The names of the arrays there, by modality."""
ENTRIES = 16
"""The videos that tell which modalities there are."""


def read_entries(path: Path) -> list[dict[Any, Any]]:
    """The dictionaries of a file, one for each video. Raises DataError where it is not such a file."""
    with show_progress() as shown:
        content = load(path, lambda done, total: shown(f"reading {path.name}", done, total))
    content = [content] if isinstance(content, dict) else content
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise DataError(f"{path}: must hold a dictionary or a list of them, as PaddlePaddle's tf2pkl.py writes it")
    return content


def judged_pickle(path: Path, criteria: Criteria) -> Iterator[Video | BadRecord]:
    """Each video of a file, or an error with its place; a file that can't be read gives an error alone."""
    try:
        entries = read_entries(path)
    except DataError as error:
        yield BadRecord("unreadable shard", str(error))
        return
    yield from (_video(entry, path, number, criteria) for number, entry in enumerate(entries))


def pickled_videos(paths: Sequence[Path], criteria: Criteria, skip: bool) -> list[list[Video]]:
    """The videos of each file, all in memory.

    Args:
        paths: The files.
        criteria: The demands on a video; its modalities are replaced by those of the first videos.
        skip: Leave out damaged videos.

    Raises:
        BadRecord: A video is damaged, and `skip` does not leave it out.
        DataError: No video is left.
    """
    shards: list[list[Video]] = []
    for path in paths:
        entries = read_entries(path)
        if not shards:
            widths, floats = declared_by_entries(entries)
            criteria = replace(criteria, widths=widths or criteria.widths, floats=floats)
        videos = [_video(entry, path, number, criteria) for number, entry in enumerate(entries)]
        bad = [video for video in videos if isinstance(video, BadRecord)]
        if bad and not skip:
            raise BadRecord(bad[0].kind, f"{bad[0]}; --on-bad-record skip leaves such videos out")
        shards.append([video for video in videos if isinstance(video, Video)])
    if not any(shards):
        raise DataError(f"{paths[0].parent}: {len(paths)} files and no good video in them")
    return shards


def _video(entry: dict[Any, Any], path: Path, number: int, criteria: Criteria) -> Video | BadRecord:
    try:
        fields = {text(key): value for key, value in entry.items()}
        if not isinstance(fields.get("video"), (str, bytes)):
            raise BadRecord("missing feature", "it has no 'video' that is a text")
        features = {
            key: _frames(fields.get(NAMES[key]), NAMES[key], width, key in criteria.floats)
            for key, width in criteria.widths.items()
        }
        return checked(Video(text(fields["video"]), _labels(fields.get("label")), features), criteria)
    except BadRecord as error:
        return error.at(path, number)
    except DataError as error:
        return BadRecord("no message", str(error)).at(path, number)


def _labels(value: Any) -> list[int]:
    """The classes of a video: a number, or a list or an array of numbers; none where there are no labels."""
    labels = np.asarray([] if value is None else value)
    if labels.size and labels.dtype.kind not in "iu":
        raise BadRecord("labels out of range", "its labels are not numbers")
    return [int(label) for label in labels.reshape(-1)]


def _frames(value: Any, key: str, width: int, is_float: bool) -> Array:
    if not isinstance(value, np.ndarray):
        raise BadRecord("missing feature", f"it has no array '{key}'")
    wanted = np.dtype(np.float32 if is_float else np.uint8)
    if value.dtype != wanted or value.ndim != 2 or value.shape[1] != width:
        raise BadRecord(
            "wrong frame size", f"'{key}' must be {wanted} (frames, {width}), got {value.dtype} {value.shape}"
        )
    return value


def declared_by_entries(entries: Sequence[dict[Any, Any]]) -> tuple[dict[str, int], tuple[str, ...]]:
    """The width of each modality that at least half of the first videos have, and the modalities that are floats."""
    entries = entries[:ENTRIES]
    held: Counter[tuple[str, int, bool]] = Counter()
    for entry in entries:
        fields = {text(key): value for key, value in entry.items() if isinstance(key, (str, bytes))}
        for key, name in NAMES.items():
            value = fields.get(name)
            if isinstance(value, np.ndarray) and value.ndim == 2:
                held[key, value.shape[1], value.dtype == np.float32] += 1
    common = {key: (width, is_float) for (key, width, is_float), n in held.items() if 2 * n >= len(entries)}
    widths = {key: common[key][0] for key in NAMES if key in common}
    return widths, tuple(key for key in widths if common[key][1])
