"""The videos of a data set: files, labels and splits."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acz.data.vocabulary import read_text
from acz.foundation.errors import DataError, nearest
from acz.foundation.files.texts import OTHER_BYTES

SUFFIXES = frozenset(
    ".3gp .asf .avi .dv .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogg .ogv .rm .ts .vob .webm .wmv".split()
)
"""The ends of names that are taken for videos in a folder. A file that is named itself is taken whatever its name."""
FILE, LABEL, SPLIT = ("file", "video", "id", "name"), ("label", "labels", "class", "classes"), "split"
"""Titles of the columns of a file of labels."""
SEPARATORS = "|;"
"""The signs between several labels of one cell."""
TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class ListedVideo:
    """A video file of a data set."""

    path: Path
    name: str
    """Its path inside the folder that was given, or its own name."""
    labels: tuple[str, ...] = ()
    split: str | None = None
    """None: the hash of its content decides."""


def list_videos(paths: Sequence[Path]) -> list[ListedVideo]:
    """List video files, in the order of their names.

    Args:
        paths: Files, and folders that are searched for videos.

    Raises:
        DataError: A path is not there, a folder holds no video, or two videos have the same name.
    """
    videos: dict[str, ListedVideo] = {}
    for given in paths:
        if given.is_dir():
            files = [path for path in sorted(given.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
            if not files:
                raise DataError(f"{given} holds no videos; names that end in .mp4, .mkv, .webm and so on are taken")
            named = [(path, path.relative_to(given).as_posix()) for path in files]
        elif given.exists():
            named = [(given, given.name)]
        else:
            raise DataError(f"{given}: there is no such file or folder")
        for path, name in named:
            if name in videos and not path.samefile(videos[name].path):
                raise DataError(f"{path} and {videos[name].path} have the same name; give the folder that holds both")
            videos[name] = ListedVideo(path, name)
    return [videos[name] for name in sorted(videos)]


def label_by_file(videos: Sequence[ListedVideo], path: Path) -> list[ListedVideo]:
    """Give videos the labels, and perhaps the splits, of a CSV file.

    The file has the columns `file` and `label`, and perhaps `split`. Several labels of a video have a line each, or
    stand in one cell with | or ; between them. A video is named by its path inside the folder, or by its file's name.

    Raises:
        DataError: The file is not such a file, or a video has no line.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    labels: dict[str, dict[str, None]] = {}
    splits: dict[str, str] = {}
    try:
        titles = [title.strip().lower() for title in next(rows, [])]
        file = next((titles.index(title) for title in FILE if title in titles), None)
        label = next((titles.index(title) for title in LABEL if title in titles), None)
        split = titles.index(SPLIT) if SPLIT in titles else None
        if file is None or label is None:
            raise DataError(f"{path}: its first line must be file,label, got {','.join(titles)!r:.80}")
        for row in rows:
            if not any(row):
                continue
            if len(row) != len(titles):
                raise DataError(f"{path}: line {rows.line_num}: has {len(row)} columns, the first line {len(titles)}")
            own = labels.setdefault(row[file], {})
            own |= dict.fromkeys(_words(row[label]))
            if split is not None and splits.setdefault(row[file], row[split]) != row[split]:
                raise DataError(f"{path}: line {rows.line_num}: {row[file]!r} is in two splits")
    except csv.Error as error:
        raise DataError(f"{path}: line {rows.line_num}: is not CSV: {error}") from None
    labelled = []
    for video in videos:
        key = video.name if video.name in labels else video.path.name
        if key not in labels:
            raise DataError(f"{path}: has no line for {video.name!r}; {nearest(video.name, labels)}")
        labelled.append(ListedVideo(video.path, video.name, tuple(labels[key]), splits.get(key)))
    return labelled


def _words(cell: str) -> list[str]:
    for separator in SEPARATORS[1:]:
        cell = cell.replace(separator, SEPARATORS[0])
    return [word.strip() for word in cell.split(SEPARATORS[0]) if word.strip()]


def label_by_folder(videos: Sequence[ListedVideo]) -> list[ListedVideo]:
    """Give each video its folder as its label; none where a video lies in no folder, or all lie in one."""
    folders = [Path(video.name).parent.name for video in videos]
    if "" in folders or len(set(folders)) < 2:
        return list(videos)
    return [
        ListedVideo(video.path, video.name, (folder,), video.split)
        for video, folder in zip(videos, folders, strict=True)
    ]


def class_names(videos: Sequence[ListedVideo]) -> list[str]:
    """The names of the classes in the order of their numbers: sorted, or 0, 1, ... where all labels are numbers."""
    names = {label for video in videos for label in video.labels}
    if names and all(name.isascii() and name.isdigit() and len(name) < 8 for name in names):
        return [str(number) for number in range(max(map(int, names)) + 1)]
    return sorted(names)


def split_of(video: ListedVideo, content: str, share: float) -> str:
    """The split of a video: as its line says, or by the hash of its content, so that it stays where it is.

    Args:
        video: The video.
        content: The hash of its file.
        share: The share of the videos that are in the split `validation`.
    """
    return video.split or (VALIDATION if int(content[:8], 16) < share * 2**32 else TRAIN)


def class_numbers(video: ListedVideo, numbers: Mapping[str, int]) -> list[int]:
    """The numbers of a video's classes, rising."""
    return sorted(
        {numbers[str(int(label)) if label.isdigit() and label not in numbers else label] for label in video.labels}
    )


def plain_name(name: str) -> str:
    """The name of a video as a text of UTF-8; other bytes, which a file's name may have, are written as escapes."""
    return name.encode("utf-8", OTHER_BYTES).decode("utf-8", "backslashreplace")
