"""One record as a video, or the error that says why it is not one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np

from acz.data.youtube8m.settings import CLASSES, MOST_FRAMES, SEGMENT, WIDTHS
from acz.data.youtube8m.shards.messages import feature_list, float_list, lean
from acz.data.youtube8m.shards.records import BadRecord
from acz.foundation.arrays import Array
from acz.foundation.files.protobuf import NotAMessage, varint
from acz.foundation.files.texts import decode_text

Level = Literal["frame", "video"]
MEAN = "mean_"
"""The prefix of a modality's feature in a video-level file."""
RATED = "segment"
"""The prefix of the features that hold ratings."""


@dataclass(frozen=True)
class Criteria:
    """The demands on a record."""

    widths: Mapping[str, int] = field(default_factory=lambda: dict(WIDTHS))
    """Features of a frame by modality; a record needs all of them."""
    floats: tuple[str, ...] = ()
    """The modalities whose frames are lists of floats, and not of bytes."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """The names of modalities in the record, where they differ."""
    id_key: str = "id"
    """The feature that holds the id."""
    equal_lengths: bool = False
    """Refuse a video whose modalities have different numbers of frames. Otherwise all are cut to the shortest."""
    classes: int = CLASSES
    unlabelled: bool = False
    """Take videos without labels."""
    level: Level = "frame"
    rated: bool = False
    """Read the ratings of its segments, and not the labels of the video."""


class Rating(NamedTuple):
    """The rating of a class in a segment of a video."""

    start: int
    """The number of the segment's first frame."""
    label: int
    score: float


@dataclass(frozen=True)
class Video:
    """A video: its id, its labels in the file's order, and its features by modality.

    Features are uint8 or float32 (frames, features), or float32 (features) at video level. Arrays may be views of the
    record; frames are not cut to the most that are read yet.
    """

    id: str
    labels: list[int]
    features: dict[str, Array]
    shortened: bool = False
    """True where modalities had different numbers of frames and were cut to the shortest."""
    ratings: tuple[Rating, ...] = ()
    """The ratings of its segments, in the file's order."""
    scores: tuple[float, ...] | None = None
    """The rating of each label, where this is a segment of a video; its other classes have none."""

    @property
    def frames(self) -> int:
        """The number of frames; 0 at video level."""
        first = next(iter(self.features.values()))
        return len(first) if first.ndim == 2 else 0

    @property
    def is_cut(self) -> bool:
        """True where it has more frames than are read."""
        return self.frames > MOST_FRAMES


def parse(content: bytes, criteria: Criteria) -> Video:
    """Read a record as a video. Raises BadRecord."""
    try:
        message = lean(content)
        context = message.context.feature
        if criteria.id_key not in context or len(context[criteria.id_key].bytes_list.value) != 1:
            raise BadRecord("missing feature", f"it has no '{criteria.id_key}', which must be one text")
        name = decode_text(context[criteria.id_key].bytes_list.value[0])
        if criteria.level == "video":
            features = {MEAN + key: _floats(context, MEAN + key, width, name) for key, width in criteria.widths.items()}
        else:
            features = {
                key: (_float_frames if key in criteria.floats else _frames)(
                    message, criteria.keys.get(key, key), width, name
                )
                for key, width in criteria.widths.items()
            }
        labels = list(context["labels"].int64_list.value) if "labels" in context and not criteria.rated else []
        ratings = _ratings(context, name) if criteria.rated else ()
    except NotAMessage as error:
        raise BadRecord("no message", f"its content is not a tf.SequenceExample or tf.Example: {error}") from None
    return checked(Video(name, labels, features, ratings=ratings), criteria)


def checked(video: Video, criteria: Criteria) -> Video:
    """The same video, cut to its shortest modality. Raises BadRecord where it does not meet the criteria."""
    sizes = {key: len(value) for key, value in video.features.items() if value.ndim == 2}
    if len(set(sizes.values())) > 1:
        if criteria.equal_lengths:
            counts = ", ".join(f"{count} frames of {key}" for key, count in sizes.items())
            raise BadRecord("unequal lengths", f"video {video.id} has {counts}")
        shortest = min(sizes.values())
        features = {key: value[:shortest] if value.ndim == 2 else value for key, value in video.features.items()}
        video = replace(video, features=features, shortened=True)
    if 0 in sizes.values():
        raise BadRecord("no frames", f"video {video.id} has no frames")
    if len(video.labels) > 2 and set(video.labels) <= {0, 1}:
        video = replace(video, labels=_classes_of(video, criteria.classes))
    if not video.labels and not criteria.unlabelled and not criteria.rated:
        raise BadRecord("no labels", f"video {video.id} has no labels; --unlabelled takes such videos, for inference")
    labels = [*video.labels, *(rating.label for rating in video.ratings)]
    wrong = [label for label in labels if not 0 <= label < criteria.classes]
    if wrong:
        raise BadRecord(
            "labels out of range",
            f"video {video.id} has the label {wrong[0]}; classes are 0 .. {criteria.classes - 1}, "
            "or as many as --classes says",
        )
    return video


def _classes_of(video: Video, classes: int) -> list[int]:
    """The classes of a video whose labels are zeros and ones for each class. Raises BadRecord."""
    count = len(video.labels)
    if count != classes:
        raise BadRecord(
            "labels out of range",
            f"video {video.id} has {count} labels, all of them 0 or 1, as zeros and ones for {count} classes; "
            f"--classes {count} reads them so, and here are {classes} classes",
        )
    return [label for label, value in enumerate(video.labels) if value]


@cache
def frame_head(width: int) -> Array:
    """The bytes before the `width` bytes of a frame, uint8.

    They are three fields: Feature in FeatureList, BytesList in Feature, value in BytesList.
    """
    head = b""
    for _ in range(3):
        head = b"\x0a" + varint(len(head) + width) + head
    return np.frombuffer(head, np.uint8)


def frame_size(criteria: Criteria) -> int:
    """The fewest bytes that a frame of all modalities takes in a record."""
    return sum(
        len(frame_head(4 * width)) + 4 * width if key in criteria.floats else len(frame_head(width)) + width
        for key, width in criteria.widths.items()
    )


def _frames(message: Any, key: str, width: int, name: str) -> Array:
    """uint8 (frames, width) of one modality.

    Frames are usually written alike, so that a FeatureList is a table; its rows are a head and a frame. Otherwise
    protobuf reads it.
    """
    lists = message.feature_lists.feature_list
    if key not in lists:
        raise BadRecord("missing feature", f"video {name} has no frames of '{key}'")
    content = lists[key]
    head = frame_head(width)
    stride = len(head) + width
    if len(content) % stride == 0:
        table = np.frombuffer(content, np.uint8).reshape(-1, stride)
        if (table[:, : len(head)] == head).all():
            return table[:, len(head) :]
    frames = []
    for number, frame in enumerate(feature_list(content).feature):
        values = frame.bytes_list.value
        if len(values) != 1 or len(values[0]) != width:
            size = len(values[0]) if len(values) == 1 else 0
            raise BadRecord(
                "wrong frame size", f"video {name}: frame {number} of '{key}' has {size} bytes, not {width}"
            )
        frames.append(values[0])
    return np.frombuffer(b"".join(frames), np.uint8).reshape(-1, width)


def _float_frames(message: Any, key: str, width: int, name: str) -> Array:
    """float32 (frames, width) of one modality."""
    lists = message.feature_lists.feature_list
    if key not in lists:
        raise BadRecord("missing feature", f"video {name} has no frames of '{key}'")
    frames = [np.array(frame.float_list.value, np.float32) for frame in feature_list(lists[key]).feature]
    for number, frame in enumerate(frames):
        if len(frame) != width:
            raise BadRecord(
                "wrong frame size", f"video {name}: frame {number} of '{key}' has {len(frame)} floats, not {width}"
            )
        if not np.isfinite(frame).all():
            raise BadRecord("no message", f"video {name}: frame {number} of '{key}' holds NaN or infinity")
    return np.array(frames, np.float32).reshape(-1, width)


def _ratings(context: Any, name: str) -> tuple[Rating, ...]:
    """The ratings of a video's segments. Raises BadRecord."""
    starts, labels = (
        list(context[key].int64_list.value) if key in context else []
        for key in (f"{RATED}_start_times", f"{RATED}_labels")
    )
    scores: list[float] = []
    if f"{RATED}_scores" in context:
        scores = list(float_list(context[f"{RATED}_scores"].float_list).value)
    if not len(starts) == len(labels) == len(scores):
        counts = f"{len(labels)} segment_labels, {len(starts)} segment_start_times and {len(scores)} segment_scores"
        raise BadRecord("bad ratings", f"video {name} has {counts}; there must be as many of each")
    ratings = tuple(map(Rating, starts, labels, scores))
    for rating in ratings:
        if not 0 <= rating.start <= MOST_FRAMES - SEGMENT:
            raise BadRecord(
                "bad ratings",
                f"video {name} has a segment from frame {rating.start}; {MOST_FRAMES - SEGMENT} is the last that is read",
            )
        if not 0 <= rating.score < np.inf:
            raise BadRecord("bad ratings", f"video {name} has the rating {rating.score}; ratings are 0 or more")
    return ratings


def _floats(context: Any, key: str, width: int, name: str) -> Array:
    """float32 (width) of one feature."""
    if key not in context or not context[key].HasField("float_list"):
        raise BadRecord("missing feature", f"video {name} has no '{key}'")
    content = context[key].float_list
    head = b"\x0a" + varint(4 * width)
    if len(content) == len(head) + 4 * width and content.startswith(head):
        value = np.frombuffer(content, "<f4", width, len(head)).astype(np.float32, copy=False)
    else:
        value = np.array(float_list(content).value, np.float32)
    if value.shape != (width,):
        raise BadRecord("wrong frame size", f"video {name}: '{key}' has {len(value)} numbers, not {width}")
    if not np.isfinite(value).all():
        raise BadRecord("no message", f"video {name}: '{key}' holds NaN or infinity")
    return value
