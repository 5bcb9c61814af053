"""The segments of videos as videos of their own, as the challenge of 2019 has them.

A segment is five frames of a video. `rated` segments are those that the records rate, in the order of their first
rating. `all` segments are the consecutive pieces of every video, as a submission has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np

from acz.data.youtube8m.reading.sources import HeldSource, RecordSource, Source
from acz.data.youtube8m.settings import MOST_FRAMES, SEGMENT, Reading
from acz.data.youtube8m.shards import cache
from acz.data.youtube8m.shards.video import Video
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError


class SegmentSource:
    """The segments of the videos of another source.

    Args:
        videos: The videos.
        reading: The settings, with `segments`.

    Raises:
        DataError: No video has such a segment.
    """

    def __init__(self, videos: Source, reading: Reading) -> None:
        self.whole, self.window = videos, reading.segment_frames
        self.rated = reading.segments == "rated"
        self.widths, self.floats, self.longest = videos.widths, videos.floats, reading.segment_frames
        parts = [self._segments(shard) for shard in range(len(videos.starts) - 1)]
        self.starts = np.cumsum([0, *map(len, parts)])
        table = np.concatenate(parts)
        self.owners, self.firsts = table[:, 0], table[:, 1]
        """The number of each segment's video, and of its first frame there."""
        if len(table) == 0:
            raise DataError(
                "no segment is rated in these shards; the rated ones are the validation shards of 2019, and --segments all "
                "reads the segments of every video, without labels"
            )

    def _segments(self, shard: int) -> Array:
        """The video and the first frame of each segment of a shard, int64 (segments, 2); from the cache, if it has them."""
        first, stop = int(self.whole.starts[shard]), int(self.whole.starts[shard + 1])
        path, what = None, f"segments {self.rated}"
        if isinstance(self.whole, RecordSource):
            path = self.whole.index.paths[shard]
            records = self.whole.index.records[first:stop]
            what += f" {len(records)} {int(records.sum())} {sorted(asdict(self.whole.criteria).items())}"
            known = cache.load(path, what)
            if known is not None:
                return known[1].reshape(-1, 2) + np.array([first, 0])
        rows = [
            (number, start)
            for number, video in enumerate(self.whole.videos(np.arange(first, stop)))
            for start in (rated_starts(video) if self.rated else all_starts(video))
        ]
        table = np.array(rows, np.int64).reshape(-1, 2)
        if path is not None:
            cache.store(path, what, {}, table)
        return table + np.array([first, 0])

    def videos(self, numbers: Array) -> Iterator[Video]:
        owners = self.owners[numbers]
        is_next = np.ones(len(owners), np.bool_)
        is_next[1:] = owners[1:] != owners[:-1]  # a video whose segments follow one another is read once
        whole = self.whole.videos(owners[is_next])
        video: Video | None = None
        for start, is_other in zip(self.firsts[numbers].tolist(), is_next.tolist(), strict=True):
            video = next(whole) if is_other or video is None else video
            yield cut(video, start, self.window, self.rated)


def require_segments(source: Source, reading: Reading, level: str) -> None:
    """Raise DataError where a source can't have the segments that are asked for."""
    if level != "frame":
        raise DataError("video-level shards have no segments; take the frame-level ones")
    if reading.segments == "rated" and not isinstance(source, RecordSource):
        kind = "pickles" if isinstance(source, HeldSource) else "converted folders"
        raise DataError(f"{kind} hold no ratings of segments; read the shards themselves")


def rated_starts(video: Video) -> Sequence[int]:
    """The first frames of the rated segments of a video, in the order of their first rating."""
    return list(dict.fromkeys(rating.start for rating in video.ratings))


def all_starts(video: Video) -> Sequence[int]:
    """The first frames of the consecutive segments of a video; the last one may have fewer frames."""
    return range(0, min(video.frames, MOST_FRAMES), SEGMENT)


def cut(video: Video, start: int, window: int, rated: bool) -> Video:
    """The segment of a video from a frame on, with the frames around it that a wider window has.

    Frames before the video and after its end are left out. So a segment has fewer frames there, or none; a class that
    was rated twice has its last rating.
    """
    first = start - (window - SEGMENT) // 2
    rows = slice(max(first, 0), min(max(first + window, 0), MOST_FRAMES))
    scores = {rating.label: rating.score for rating in video.ratings if rating.start == start}
    return replace(
        video,
        id=f"{video.id}:{start}",
        labels=list(scores),
        features={key: value[rows] for key, value in video.features.items()},
        ratings=(),
        scores=tuple(scores.values()) if rated else None,
    )
