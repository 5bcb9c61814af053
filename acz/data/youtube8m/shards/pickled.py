"""Pickles of YouTube-8M shards by PaddlePaddle's converter (PaddleCV/video, tf2pkl), read by the restricted unpickler.

Each is a list of dictionaries: `video` the id, `feature` uint8 (frames, 1024), `audio` uint8 (frames, 128), `label` a
list of classes, and `nframes`. Pickles of Python 2 have byte strings as keys. `nframes` is at most 300 while the arrays
hold every frame, so the arrays are read, and `nframes` is not.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def read_pickle(path: Path, criteria: Criteria) -> list[Video | BadRecord]:
    """The videos of a file, or the errors in their places. Raises DataError where it is not such a file."""
    with show_progress() as shown:
        content = load(path, lambda done, total: shown(f"reading {path.name}", done, total))
    if not isinstance(content, list) or not content or not all(isinstance(entry, dict) for entry in content):
        raise DataError(f"{path}: must hold a list of dictionaries, as PaddlePaddle's tf2pkl.py writes it")
    return [_video(entry, path, number, criteria) for number, entry in enumerate(content)]


def pickled_videos(paths: Sequence[Path], criteria: Criteria, skip: bool) -> list[list[Video]]:
    """The videos of each file, all in memory.

    Raises:
        BadRecord: A video is damaged, and `skip` does not leave it out.
        DataError: No video is left.
    """
    shards = []
    for path in paths:
        entries = read_pickle(path, criteria)
        bad = [entry for entry in entries if isinstance(entry, BadRecord)]
        if bad and not skip:
            raise BadRecord(bad[0].kind, f"{bad[0]}; on_bad_record: skip leaves such videos out")
        shards.append([entry for entry in entries if isinstance(entry, Video)])
    if not any(shards):
        raise DataError(f"{paths[0].parent}: {len(paths)} files and no good video in them")
    return shards


def _video(entry: dict[Any, Any], path: Path, number: int, criteria: Criteria) -> Video | BadRecord:
    try:
        fields = {text(key): value for key, value in entry.items()}
        if not isinstance(fields.get("video"), (str, bytes)) or not isinstance(fields.get("label"), list):
            raise BadRecord("missing feature", "it has no 'video' that is a text, or no 'label' that is a list")
        if not all(isinstance(label, (int, np.integer)) for label in fields["label"]):
            raise BadRecord("labels out of range", "its labels are not numbers")
        features = {key: _frames(fields.get(NAMES[key]), NAMES[key], width) for key, width in criteria.widths.items()}
        return checked(Video(text(fields["video"]), [int(label) for label in fields["label"]], features), criteria)
    except BadRecord as error:
        return error.at(path, number)
    except DataError as error:
        return BadRecord("no message", str(error)).at(path, number)


def _frames(value: Any, key: str, width: int) -> Array:
    if not isinstance(value, np.ndarray):
        raise BadRecord("missing feature", f"it has no array '{key}'")
    if value.dtype != np.uint8 or value.ndim != 2 or value.shape[1] != width:
        raise BadRecord("wrong frame size", f"'{key}' must be uint8 (frames, {width}), got {value.dtype} {value.shape}")
    return value
