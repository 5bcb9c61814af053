"""YouTube-8M: look at its shards, convert them, imitate them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from acz.api.results import reports_progress, require_counts
from acz.data.vocabulary import read_labels
from acz.data.youtube8m.dataset import open_records
from acz.data.youtube8m.location import (
    count_classes,
    missing_shards,
    names_of_before,
    no_shards,
    shards_at,
    shards_by_split,
)
from acz.data.youtube8m.making.convert import convert
from acz.data.youtube8m.making.synthesize import Synthesis, synthesize
from acz.data.youtube8m.settings import CLASSES, Reading
from acz.data.youtube8m.shards.check import CUT, SHORTENED
from acz.data.youtube8m.shards.summary import criteria_for, look_at
from acz.data.youtube8m.shards.video import Level
from acz.foundation.errors import DataError, SpecError
from acz.foundation.progress import Progress, show_progress
from acz.foundation.settings import validate


@reports_progress
def describe_youtube8m(
    shards: Sequence[str | Path],
    *,
    classes: int | None = None,
    unlabelled: bool = False,
    videos: int = 0,
    class_names: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Read every record of YouTube-8M shards and compare every checksum.

    A shard that can't be read, holds no record, or is missing where names say how many there are, and a video that is
    there twice, count as defects.

    Args:
        shards: shards, globs, or folders of them.
        classes: labels are 0 .. classes - 1; by default what a synthesized folder says, else the official 3,862.
        unlabelled: True where videos without labels are no defect, as in the test shards.
        videos: how many of the first videos are listed.
        class_names: names of the classes: a line each, or a CSV file with Index and Name, as the official vocabulary.csv.

    Returns:
        Counts of videos, frames and labels; `defects` by kind with some named; the `first` videos.

    Raises:
        DataError: there are no shards, or one can't be read at all.
    """
    require_counts(classes=classes)
    words = [str(shard) for shard in shards]
    paths = shards_at(words)
    if not paths:
        raise no_shards(words[0] if len(words) == 1 else words)
    names = read_labels(Path(class_names)) if class_names else None
    with show_progress(progress) as shown:
        classes = classes or _known_classes(words, shown)
        about: dict[str, Any] = look_at(
            paths,
            criteria_for(paths, classes, unlabelled),
            videos,
            names,
            lambda done, total: shown("reading every record", done // 2**20, total // 2**20, "MiB"),
        )
    for first, count in missing_shards(paths).items():
        about["defects"]["missing shard"] = about["defects"].get("missing shard", 0) + count
        about["named"].append(f"{first}: is not there, and {count - 1:,} others of its set are not")
    return about


def _known_classes(words: Sequence[str], shown: Progress) -> int:
    """The number of classes that shards say, else the official one. A line of progress says which."""
    known = count_classes(words)
    origin = "as their folder says" if known else "as the official ones; --classes takes another number"
    shown.line(f"labels are read as 0 .. {(known or CLASSES) - 1}, {origin}")
    return known or CLASSES


def cut_videos(about: Mapping[str, Any]) -> list[str]:
    """The numbers of videos that `describe_youtube8m` met and that are cut when they are read, in words."""
    reasons = {CUT: "are cut", SHORTENED: "are cut to the shortest"}
    return [f"{about[what]:,} videos have {what}, and {done}" for what, done in reasons.items() if about[what]]


@reports_progress
def convert_youtube8m(
    shards: Sequence[str | Path],
    out: str | Path,
    *,
    on_bad_record: str = "fail",
    verify: str = "all",
    classes: int | None = None,
    unlabelled: bool = False,
    progress: Progress | None = None,
) -> int:
    """Convert shards of frames or of videos to memory-mapped arrays, which are read without parsing; gives the number of videos.

    Labels are 0 .. `classes` - 1, by default what a synthesized folder says, else the official 3,862.
    Splits keep their names: train, validate and test. Pickles of shards are read, too. An interrupted call is resumed by
    the same call.

    Raises:
        DataError: there are no shards, or shards of both levels; a record is bad, or `out` holds something else.
    """
    require_counts(classes=classes)
    words = [str(shard) for shard in shards]
    with show_progress(progress) as shown:
        classes = classes or _known_classes(words, shown)
    given = {"on_bad_record": on_bad_record, "verify": verify, "classes": classes, "unlabelled": unlabelled}
    reading = validate(Reading, given, "options")
    splits = names_of_before(shards_by_split(words[0] if len(words) == 1 else words), Path(out))
    sources = {split: open_records(chosen, reading) for split, chosen in splits.items()}
    if not sources:
        raise no_shards(words[0] if len(words) == 1 else words)
    if len({source.criteria.level for source in sources.values()}) > 1:
        levels = ", ".join(f"{split} {source.criteria.level}" for split, source in sources.items())
        raise DataError(f"{', '.join(words)}: holds shards of frames and of videos ({levels}); convert each alone")
    about = {"shards": {split: [path.name for path in chosen] for split, chosen in splits.items()}, "reading": given}
    with show_progress(progress) as shown:
        return convert(sources, Path(out), about, lambda done, total: shown("converting", done, total))


@reports_progress
def synthesize_youtube8m(
    out: str | Path,
    videos: int,
    *,
    validation: int | None = None,
    test: int = 0,
    shards: int | None = None,
    level: Level = "frame",
    segments: bool = False,
    frames: tuple[int, int] = (40, 120),
    classes: int = 3862,
    seed: int = 0,
    progress: Progress | None = None,
) -> int:
    """Write shards in the official format whose labels can be learnt; gives their size in bytes.

    Args:
        videos: training videos.
        validation: validation videos; by default a tenth as many.
        test: test videos, which have no labels.
        shards: training shards; by default one for 500 videos.
        level: `frame` writes frames; `video` writes the means over each video's frames.
        segments: rate segments of five frames of the videos for training and validation, as the challenge of 2019.
        frames: fewest and most frames of a video.

    Raises:
        DataError: `out` holds something else.
        SpecError: a number or the level is not possible.
    """
    if level not in get_args(Level):
        raise SpecError(f"level (--level) must be frame or video, got {level!r}")
    if test < 0:
        raise SpecError(f"test (--test) must be 0 or more, got {test}")
    require_counts(videos=videos, validation=validation, shards=shards, classes=classes)
    tested = validation or max(videos // 10, 1)
    counts = (videos, tested, shards or -(-videos // 500), -(-tested // 500))
    wanted = Synthesis(*counts, seed, frames, classes, test, -(-test // 500), level, segments)
    with show_progress(progress) as shown:
        return synthesize(wanted, Path(out), lambda done, total: shown("writing videos", done, total))
