"""Conversion of shards to memory-mapped arrays, in the format of `acz.data.folder`.

A shard has an array for each modality, as `rgb` and `audio`, uint8 or float32 (videos, frames, features), filled up
with zeros to the frames of a batch; `rgb.lengths` and `audio.lengths`; `labels`, uint8 (videos, classes); and `id`,
uint8 (videos, 64), filled up with zeros. Any reader of the format reads them; YouTube-8M's reader samples frames, too.

Video-level shards have `mean_rgb` and `mean_audio`, float32 (videos, features), and no lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acz.data.absent import SETTINGS
from acz.data.folder import write_manifest, write_shard, written_shard
from acz.data.youtube8m.location import CONVERTED
from acz.data.youtube8m.reading.batch import count_frames
from acz.data.youtube8m.reading.sources import HeldSource, RecordSource
from acz.data.youtube8m.settings import Reading
from acz.data.youtube8m.shards.video import MEAN
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import remove_leftovers
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.locks import locked
from acz.foundation.files.texts import encode_text

ID_BYTES = 64
VIDEOS = 512
"""Videos of a converted shard, some 170 MB where they have 300 frames."""


def convert(
    sources: Mapping[str, RecordSource | HeldSource],
    out: Path,
    about: dict[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the videos of every split, or resume an interrupted conversion. Returns the number of videos.

    Args:
        sources: The videos of each split.
        out: The folder to write.
        about: The settings; a folder belongs to one conversion.
        progress: Is called with the videos that are done, and all of them.

    Raises:
        DataError: `out` holds another conversion, or other files.
    """
    total = sum(int(source.starts[-1]) for source in sources.values())
    done = 0
    with locked(out):
        claim_folder(out, SETTINGS, about)
        remove_leftovers(out)
        splits = {}
        for split, source in sources.items():
            count = int(source.starts[-1])
            records = []
            for number, first in enumerate(range(0, count, VIDEOS)):
                last = min(first + VIDEOS, count)
                record = written_shard(out, split, number)
                if record is None or record["count"] != last - first:
                    record = write_shard(out, split, number, _arrays(source, np.arange(first, last)))
                records.append(record)
                done += last - first
                progress(done, total)
            splits[split] = records
        write_manifest(out, splits, {"what": CONVERTED, **about})
    return total


def _arrays(source: RecordSource | HeldSource, numbers: Array) -> dict[str, Array]:
    """The arrays of one shard. Raises BadRecord."""
    count = len(numbers)
    of_frames = source.criteria.level == "frame"
    frames = count_frames(Reading(), source.longest)
    arrays: dict[str, Array] = {}
    for key, width in source.widths.items():
        if of_frames:
            arrays[key] = np.zeros((count, frames, width), np.float32 if key in source.floats else np.uint8)
        else:
            arrays[MEAN + key] = np.zeros((count, width), np.float32)
    lengths = np.zeros(count, np.int32)
    arrays["labels"] = np.zeros((count, source.criteria.classes), np.uint8)
    ids = []
    for row, video in enumerate(source.videos(numbers)):
        lengths[row] = min(video.frames, frames)
        for key, value in video.features.items():
            if of_frames:
                arrays[key][row, : lengths[row]] = value[:frames]
            else:
                arrays[key][row] = value
        arrays["labels"][row, video.labels] = 1
        ids.append(encode_text(video.id))
        if len(ids[-1]) > ID_BYTES:
            raise DataError(f"the id {video.id} has {len(ids[-1])} bytes; at most {ID_BYTES} are kept")
    arrays["id"] = np.array(ids, f"S{ID_BYTES}").view(np.uint8).reshape(count, ID_BYTES)
    return arrays | ({f"{key}.lengths": lengths for key in source.widths} if of_frames else {})
