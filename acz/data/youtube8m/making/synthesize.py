"""Shards in the official format whose labels can be learnt, and learnt better by attention than by averaging frames.

Every class has a mark, a fixed pattern of signs over the 1,152 features. A few frames of a video show each of its
labels, by the label's mark and a pattern that all such frames have in common. Every other frame is clutter: it shows
the mark of a random class, without that pattern. So the mean over frames is mostly clutter, and a score that is linear
in the features finds the frames that matter. All frames have normal noise.

Class c is drawn in proportion to (c + 8)^-1.2, so that classes are sorted by frequency as the official classes are. Of
10,000 videos with three labels each, some 400 classes have ten or more videos, and a quarter of the 3,862 classes has
none. Values are quantised as the official features: floor((x + 2) 255 / 4), for x within -2 .. 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from statistics import NormalDist

import numpy as np

from acz.data.absent import SETTINGS
from acz.data.youtube8m.location import SYNTHETIC
from acz.data.youtube8m.settings import CLASSES, SEGMENT, WIDTHS
from acz.data.youtube8m.shards.video import MEAN, RATED, Level, Rating, frame_head
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.files.atomic import remove_leftovers, write_atomically
from acz.foundation.files.claims import claim_folder
from acz.foundation.files.locks import locked
from acz.foundation.files.protobuf import bytes_field, varint
from acz.foundation.files.texts import encode_text
from acz.foundation.files.tfrecord import framed
from acz.foundation.randomness import generator

NOISE, MARK, COMMON = 0.5, 0.19, 0.13
"""The standard deviation of the noise, and the sizes of a mark and of the common pattern, of dequantised features."""
SHOWN = 0.04
"""The share of a video's frames that show one of its labels; at least two frames do."""
SHIFT, EXPONENT = 8, 1.2
MOST_LABELS = 12
FINE = 5
"""Bits after the binary point in sums of bytes."""
STEP = 255 / 4
"""Bytes for a difference of 1."""
FIRST = 4 / 512 - 2
"""The value of byte 0, as the official reader has it."""
LATER = ("test", "test_shards", "level", "segments")
"""The settings that older folders do not have."""
LETTERS = {"train": "t", "validate": "v", "test": "u"}
"""The first letter of the ids of each split."""


@dataclass(frozen=True)
class Synthesis:
    """The settings of a synthesis. `videos` are for training, `validation` for validation, `test` have no labels."""

    videos: int
    validation: int
    shards: int
    validation_shards: int
    seed: int = 0
    frames: tuple[int, int] = (40, 120)
    """Fewest and most frames of a video."""
    classes: int = CLASSES
    test: int = 0
    test_shards: int = 0
    level: Level = "frame"
    """The level of the shards: frames, or the means over each video's frames."""
    segments: bool = False
    """Rate segments of the videos for training and validation."""

    def to_json(self) -> dict[str, object]:
        """The settings in the form of settings.json. Those that came later are left out where they are the defaults."""
        later = {field.name: field.default for field in fields(self) if field.name in LATER}
        return {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}

    @cached_property
    def cumulative(self) -> Array:
        """The share of the draws that are of a class or an earlier class, float64 (classes)."""
        weights = (np.arange(self.classes) + SHIFT) ** -EXPONENT
        return np.cumsum(weights / weights.sum())

    @cached_property
    def marks(self) -> Array:
        """The mark of each class, in fine steps, int16 (classes, features)."""
        signs = generator(self.seed, "marks").integers(0, 2, (self.classes, sum(WIDTHS.values())), np.int8)
        return ((2 * signs.astype(np.int16) - 1) * round(MARK * STEP * 2**FINE)).astype(np.int16)

    @cached_property
    def common(self) -> Array:
        """The pattern of all frames that show a label, int16 (features)."""
        signs = generator(self.seed, "common").integers(0, 2, sum(WIDTHS.values()), np.int16)
        return (2 * signs - 1) * round(COMMON * STEP * 2**FINE)

    @cached_property
    def noise(self) -> Array:
        """The normal distribution's quantiles, so that sixteen random bits are one draw, int16 (65536)."""
        distribution = NormalDist(0, NOISE * STEP * 2**FINE)
        known = [distribution.inv_cdf((place + 0.5) / 4096) for place in range(4096)]
        spread = np.interp((np.arange(65536) + 0.5) / 65536, (np.arange(4096) + 0.5) / 4096, known)
        return np.round(spread).astype(np.int16)

    def draw_classes(self, source: np.random.Generator, count: int) -> Array:
        """Random classes, in proportion to their frequency, int64 (count)."""
        return np.minimum(np.searchsorted(self.cumulative, source.random(count)), self.classes - 1)

    def video(self, split: str, number: int) -> tuple[list[int], Array]:
        """The labels and the frames uint8 (frames, 1152) of one video, which follow from seed, split and number."""
        labels, frames, _ = self.video_and_places(split, number)
        return labels, frames

    def video_and_places(self, split: str, number: int) -> tuple[list[int], Array, list[Array]]:
        """The labels and the frames of one video, and the numbers of the frames that show each label."""
        source = generator(self.seed, "video", split, number)
        count = int(source.integers(self.frames[0], self.frames[1] + 1))
        wanted = min(1 + int(source.poisson(2)), MOST_LABELS, self.classes)
        labels: list[int] = []
        while len(labels) < wanted:
            labels += [
                label for label in dict.fromkeys(self.draw_classes(source, wanted).tolist()) if label not in labels
            ]
        labels = labels[:wanted]
        each = max(2, round(SHOWN * count))
        shows = self.draw_classes(source, count)
        places = source.permutation(count)[: each * len(labels)]
        shows[places] = np.repeat(labels, each)[: len(places)]
        words = source.bit_generator.random_raw(-(-count * self.marks.shape[1] // 4))
        draws = np.asarray(words, "<u8").view("<u2")[: count * self.marks.shape[1]]
        values = self.noise[draws].reshape(count, -1)
        values += self.marks[shows]
        values[places] += self.common
        values += round(2 * STEP * 2**FINE)
        shown = [places[each * row : each * (row + 1)] for row in range(len(labels))]
        return labels, np.clip(values >> FINE, 0, 255).astype(np.uint8), shown

    def ratings(self, split: str, number: int) -> list[Rating]:
        """Ratings of segments of one video: for each label as many that show it as that do not, two at most of each."""
        labels, frames, shown = self.video_and_places(split, number)
        source = generator(self.seed, "ratings", split, number)
        starts = np.arange(0, len(frames) - SEGMENT + 1, SEGMENT)
        ratings = []
        for label, places in zip(labels, shown, strict=True):
            shows = np.isin(starts, places // SEGMENT * SEGMENT)
            for score, own in ((1.0, starts[shows]), (0.0, starts[~shows])):
                ratings += [Rating(start, label, score) for start in source.permutation(own)[:2].tolist()]
        return ratings


def encode(
    name: str, labels: list[int] | None, features: dict[str, Array], ratings: Sequence[Rating] | None = None
) -> bytes:
    """Write a SequenceExample from an id, labels, uint8 (frames, features) of each modality, and ratings of segments."""
    lists = b""
    for key, frames in features.items():
        head = frame_head(frames.shape[1])
        table = np.empty((len(frames), len(head) + frames.shape[1]), np.uint8)
        table[:, : len(head)], table[:, len(head) :] = head, frames
        lists += _entry(key, table.tobytes())
    context = _context(name, labels) + (b"" if ratings is None else _rated(ratings))
    return bytes_field(1, context) + bytes_field(2, lists)


def encode_means(name: str, labels: list[int] | None, means: dict[str, Array]) -> bytes:
    """Write an Example from an id, labels, and float32 (features) of each modality."""
    features = _context(name, labels)
    for key, value in means.items():
        features += _entry(MEAN + key, bytes_field(2, bytes_field(1, value.astype("<f4").tobytes())))
    return bytes_field(1, features)


def _context(name: str, labels: list[int] | None) -> bytes:
    """The fields of an id and of labels; without `labels` the record has no such field, as in the test shards."""
    context = _entry("id", bytes_field(1, bytes_field(1, encode_text(name))))
    if labels is not None:
        context += _entry("labels", bytes_field(3, bytes_field(1, b"".join(map(varint, labels)))))
    return context


def _rated(ratings: Sequence[Rating]) -> bytes:
    """The fields of the ratings of segments, as in the shards of 2019."""
    starts = [rating.start for rating in ratings]
    whole = {"labels": [rating.label for rating in ratings], "start_times": starts}
    whole["end_times"] = [start + SEGMENT for start in starts]
    fields = b"".join(
        _entry(f"{RATED}_{key}", bytes_field(3, bytes_field(1, b"".join(map(varint, values)))))
        for key, values in whole.items()
    )
    scores = np.array([rating.score for rating in ratings], "<f4").tobytes()
    return fields + _entry(f"{RATED}_scores", bytes_field(2, bytes_field(1, scores)))


def _entry(key: str, value: bytes) -> bytes:
    return bytes_field(1, bytes_field(1, key.encode()) + bytes_field(2, value))


def synthesize(synthesis: Synthesis, out: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Write `out/train0000.tfrecord`, `out/validate0000.tfrecord` and so on, or resume an interrupted call.

    Test shards, test0000.tfrecord and so on, have no labels. Returns the size of the shards in bytes.

    Raises:
        DataError: `out` holds other files, or the settings ask for more shards than videos.
    """
    if synthesis.segments and synthesis.level == "video":
        raise DataError("--segments rates frames, which --level video does not write; leave one of them out")
    if not 0 < synthesis.frames[0] <= synthesis.frames[1] <= 2**16:
        raise DataError(f"--frames needs 1 <= fewest <= most, got {synthesis.frames[0]} {synthesis.frames[1]}")
    total, done, size = synthesis.videos + synthesis.validation + synthesis.test, 0, 0
    with locked(out):
        claim_folder(out, SETTINGS, {"what": SYNTHETIC, **synthesis.to_json()})
        remove_leftovers(out)
        for split, number, videos in _shards(synthesis):
            path = out / f"{split}{number:04d}.tfrecord"
            if not path.is_file():
                write_atomically(
                    path, partial(_write, synthesis, split, videos, partial(_advance, progress, done, total))
                )
            size += path.stat().st_size
            done += len(videos)
            progress(done, total)
    return size


def _advance(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _shards(synthesis: Synthesis) -> Iterator[tuple[str, int, range]]:
    """Split, number and videos of each shard. Raises DataError where a shard would be empty."""
    splits = (
        ("train", synthesis.videos, synthesis.shards),
        ("validate", synthesis.validation, synthesis.validation_shards),
        ("test", synthesis.test, synthesis.test_shards),
    )
    for split, videos, shards in splits:
        if shards > videos:
            raise DataError(f"{videos} videos of '{split}' can't fill {shards} shards")
        for number in range(shards):
            yield split, number, range(videos * number // shards, videos * (number + 1) // shards)


def _write(synthesis: Synthesis, split: str, videos: range, progress: Callable[[int], None], path: Path) -> None:
    rgb = WIDTHS["rgb"]
    with path.open("wb") as file:
        for number in videos:
            labels, frames = synthesis.video(split, number)
            known = None if split == "test" else labels
            name = f"{LETTERS[split]}{number:07d}"
            if synthesis.level == "video":
                means = (frames.mean(axis=0, dtype=np.float64) / STEP + FIRST).astype(np.float32)
                content = encode_means(name, known, {"rgb": means[:rgb], "audio": means[rgb:]})
            else:
                ratings = synthesis.ratings(split, number) if synthesis.segments and split != "test" else None
                content = encode(name, known, {"rgb": frames[:, :rgb], "audio": frames[:, rgb:]}, ratings)
            file.write(framed(content))
            progress(number - videos.start + 1)
