"""Video files: extractors of features, and data sets from videos."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acz.api.results import Result, reports_progress, require_counts
from acz.data.videos.checks import check_files, require_files
from acz.data.videos.clips import make_clips as write_clips
from acz.data.videos.extractor import Extractor, ExtractorSettings, read_settings
from acz.data.videos.ffmpeg import Limits
from acz.data.videos.listing import label_by_file, label_by_folder, list_videos
from acz.data.videos.making import CLASSES_FILE, MadeVideos, Making, make_data
from acz.foundation.errors import SpecError
from acz.foundation.installation import install_command
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress, show_progress
from acz.zoo.extractors import extractor_file, extractor_names

DEFAULT_FEATURES = "efficientnet_lite0"
TIME_LIMIT = 600.0


@dataclass(frozen=True, repr=False)
class MadeData(Result):
    """A data set that was made of videos."""

    folder: Path
    made: MadeVideos
    shards: bool
    inputs: dict[str, dict[str, Any]]
    """`model.inputs` of a configuration that reads the data set."""

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "videos": dict(self.made.videos),
            "classes": self.made.classes,
            "several_labels": self.made.several_labels,
            "inputs": dict(self.inputs),
            "bad": dict(self.made.bad),
            "silent": self.made.silent,
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {count:,} videos" for split, count in self.made.videos.items())
        classes = f"{len(self.made.classes):,} classes, named in {CLASSES_FILE}" if self.made.classes else "no labels"
        lines = [f"{self.folder}: {counts}; {classes}", "the inputs of a model that reads it:"]
        for name, entry in self.inputs.items():
            lines.append(f"  {name}: {{{', '.join(f'{key}: {value}' for key, value in entry.items())}}}")
        if self.made.silent:
            lines.append(f"{self.made.silent:,} videos have no sound; their sound features are those of silence")
        if self.made.bad:
            lines.append(f"{len(self.made.bad):,} files can't be read and are left out:")
            lines += [f"  {name}: {reason}" for name, reason in self.made.bad.items()]
        if self.shards and self.made.classes:
            lines.append(f"acz train --data {self.folder} --set data.reading.classes={len(self.made.classes)} reads it")
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class CheckedFeatures(Result):
    """The files of an extractor, each with a verdict."""

    name: str
    folder: Path
    files: list[dict[str, str]]
    """`name`, `verdict` (right, wrong or missing) and `reason` of each."""

    @property
    def complete(self) -> bool:
        """True where every file is right."""
        return all(file["verdict"] == "right" for file in self.files)

    def to_json(self) -> dict[str, Any]:
        return {"features": self.name, "folder": str(self.folder), "files": self.files, "complete": self.complete}

    def __str__(self) -> str:
        if not self.files:
            return f"{self.name}: needs no files but those of packages; {install_command('acz[video]')} brings them"
        lines = [f"{self.name}, files in {self.folder}:"]
        lines += [f"  {file['verdict']:7} {file['name']}  {file['reason']}".rstrip() for file in self.files]
        return "\n".join(lines)


def list_features() -> dict[str, str]:
    """The extractors of features by name, each with a sentence about it. Raises SpecError where a file is damaged."""
    return {name: read_settings(extractor_file(name)).about for name in extractor_names()}


@reports_progress
def check_features(name: str, files: str | Path | None = None) -> CheckedFeatures:
    """Check the files that an extractor needs and no package brings.

    Args:
        name: the name of an extractor, or its YAML file.
        files: the folder of the files; by default that of the YAML file, or the current folder.

    Raises:
        SpecError: the extractor is unknown.
        MissingError: ONNX Runtime is not installed.
    """
    path = extractor_file(name)
    folder = _folder(path, name, files)
    checked = check_files(read_settings(path), folder)
    return CheckedFeatures(
        path.stem, folder, [{"name": file.name, "verdict": file.verdict, "reason": file.reason} for file in checked]
    )


def _folder(path: Path, name: str, files: str | Path | None) -> Path:
    """The folder of an extractor's files."""
    if files is not None:
        return Path(files)
    return path.parent if Path(name) == path else Path()


def open_extractor(
    name: str,
    files: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> Extractor:
    """Open an extractor whose files are right.

    Args:
        name: the name of an extractor, or its YAML file.
        files: the folder of the files that it names.
        changes: `fps` and `most`, where they differ from its own.
        threads: threads of its networks.

    Raises:
        SpecError, DataError, MissingError: the extractor is unknown, a file is wrong or missing, or a package is.
    """
    path = extractor_file(name)
    folder, settings = _folder(path, name, files), _changed(path, changes or {})
    require_files(settings, folder)
    return Extractor(path.stem, settings.fitted(folder), folder, threads or cores())


def _changed(path: Path, changes: Mapping[str, Any]) -> ExtractorSettings:
    return read_settings(path, {key: value for key, value in changes.items() if value is not None})


@reports_progress
def make_clips(out: str | Path, count: int = 200, *, seed: int = 0, progress: Progress | None = None) -> list[Path]:
    """Make small video files to try things with: scikit-learn's digits move over noise, and each digit has its tone.

    Each digit has a folder. An interrupted call is resumed by the same call.

    Args:
        out: the folder to write.
        count: the number of clips, of 4 to 12 seconds.
        seed: everything random follows from it.

    Raises:
        DataError: `out` holds something else.
        MissingError: ffmpeg is missing.
    """
    require_counts(count=count)
    with show_progress(progress) as shown:
        return write_clips(Path(out), count, seed, lambda done, total: shown("writing clips", done, total))


@reports_progress
def make_videos(
    videos: Sequence[str | Path],
    out: str | Path,
    *,
    features: str = DEFAULT_FEATURES,
    labels: str | Path | None = None,
    files: str | Path | None = None,
    hold_out: float = 0.2,
    fps: float | None = None,
    seconds: float | None = None,
    shards: bool = False,
    on_bad_video: str = "fail",
    time_limit: float = TIME_LIMIT,
    threads: int | None = None,
    progress: Progress | None = None,
) -> MadeData:
    """Make a data set of video files. An interrupted call is resumed by the same call, and no file is decoded twice.

    Args:
        videos: video files, and folders of them. Without `labels`, each folder inside a folder is a class.
        out: the folder to write.
        features: the name of an extractor, or its YAML file.
        labels: a CSV file with the columns file and label, and perhaps split.
        files: the folder of the files that the extractor names.
        hold_out: the share of the videos, by the hash of their content, that becomes the split `validation`.
        fps: frames a second; by default the extractor's.
        seconds: the seconds of a video that are read; by default the extractor's.
        shards: write shards of YouTube-8M, where the features are its bytes.
        on_bad_video: `fail` at the first file that can't be read, or `skip` such files.
        time_limit: the seconds that the decoding of a file may take.
        threads: threads of the networks, and files that are decoded at once; by default all cores.

    Raises:
        DataError: a file can't be read, or `out` holds something else.
        SpecError, MissingError: a setting is not possible, or ffmpeg or a package is missing.
    """
    require_counts(threads=threads)
    if not 0 <= hold_out < 1:
        raise SpecError(f"hold_out (--hold-out) must be at least 0 and less than 1, got {hold_out:g}")
    if not time_limit > 0 or (seconds is not None and not seconds > 0):
        raise SpecError("time_limit (--time-limit) and seconds (--seconds) must be positive")
    rate = fps if fps is not None else read_settings(extractor_file(features)).fps
    most = None if seconds is None else max(1, round(seconds * rate))
    extractor = open_extractor(features, files, {"fps": fps, "most": most}, threads)
    listed = list_videos([Path(video) for video in videos])
    listed = label_by_folder(listed) if labels is None else label_by_file(listed, Path(labels))
    making = Making(extractor, hold_out, shards, on_bad_video, threads or cores(), Limits(wall_seconds=time_limit))
    began = time.monotonic()
    with show_progress(progress) as shown:

        def report(what: str, done: int, total: int, extracted: float) -> None:
            speed = extracted / max(time.monotonic() - began, 1e-3)
            shown(what, done, total, f"{speed:,.1f} s of video a second")

        made = make_data(listed, Path(out), making, report)
    inputs: dict[str, dict[str, Any]] = {
        name: {"frames": made.frames, "features": width} for name, width in made.widths.items()
    }
    for name, entry in extractor.settings.modalities.items():
        inputs[name] |= {"dtype": "uint8"} if entry.bytes else {}
    return MadeData(Path(out), made, shards, inputs)
