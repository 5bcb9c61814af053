"""The content of some shards, in figures and a few videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acz.data.youtube8m.settings import CLASSES
from acz.data.youtube8m.shards.check import CUT, SHORTENED, Report, judged
from acz.data.youtube8m.shards.declared import declared_first, read_declared
from acz.data.youtube8m.shards.records import BadRecord
from acz.data.youtube8m.shards.video import MEAN, Criteria

MOST_LABELS = 20
"""The most frequent labels that are listed."""


def look_at(
    paths: Sequence[Path],
    criteria: Criteria,
    videos: int = 0,
    names: list[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Read every record of some shards.

    Returns counts, defects by kind and in words, the most frequent labels, and the first `videos` videos.
    """
    sizes = [path.stat().st_size if path.is_file() else 0 for path in paths]
    total, done = sum(sizes), 0
    report, frames = Report(), Counter[int]()
    shown: list[dict[str, Any]] = []
    for path, size in zip(paths, sizes, strict=True):
        report.shards.append((path, report.videos))
        for record in judged(path, criteria):
            report.add(record)
            if isinstance(record, BadRecord):
                continue
            frames[record.frames] += 1
            if len(shown) < videos:
                labels = [_named(label, names) for label in record.labels]
                shown.append({"id": record.id, "frames": record.frames, "labels": labels})
        done += size
        progress(done, total)
    report.count_repeated()
    counted = sum(report.labels.values())
    of_frames = criteria.level == "frame"
    return {
        "shards": len(paths),
        "level": criteria.level,
        "videos": report.videos,
        "frames": {
            "fewest": min(frames, default=0),
            "mean": round(report.frames / max(report.videos, 1), 1),
            "most": max(frames, default=0),
        },
        "labels": {"all": counted, "a_video": round(counted / max(report.videos, 1), 2), "classes": len(report.labels)},
        "frequent": [[_named(label, names), count] for label, count in report.labels.most_common(MOST_LABELS)],
        "features": {
            (
                key if of_frames else MEAN + key
            ): f"{width:,} {'uint8' if of_frames and key not in criteria.floats else 'float32'}"
            for key, width in criteria.widths.items()
        },
        CUT: report.cut,
        SHORTENED: report.shortened,
        "defects": dict(report.defects),
        "named": report.named,
        "first": shown,
    }


def criteria_for(paths: Sequence[Path], classes: int = CLASSES, unlabelled: bool = False) -> Criteria:
    """The demands on the records of these shards, which must be like those of the first shard that can be read."""
    return declared_first([path for path in paths if path.is_file()], read_declared).criteria(classes, unlabelled)


def _named(label: int, names: list[str] | None) -> str:
    return f"{label} {names[label]}" if names and 0 <= label < len(names) and names[label] else str(label)
