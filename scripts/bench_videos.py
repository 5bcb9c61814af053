"""Speed of features from video files, beside its floors: `python scripts/bench_videos.py docs/results/videos_speed.csv`.

In each round the decoding alone, the network alone and the whole path take a turn on the same clips. Every figure is
the median over the rounds. The processor time includes that of ffmpeg. What else runs changes it less than it changes
the frames a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from acz.api.data.videos import make_videos
from acz.backend.versions import environment
from acz.data.videos.extractor import Extractor, read_settings
from acz.data.videos.ffmpeg import find_ffmpeg
from acz.foundation.files.tables import write_csv
from acz.foundation.processes.environment import cores
from acz.foundation.progress import Progress
from acz.zoo.extractors import extractor_file

CLIPS, SECONDS = 10, 60
"""Clips, and seconds of each: H.264, 320 x 240, 25 frames a second."""
ROUNDS = 3
FEATURES = "efficientnet_lite0"
WHAT = {"decoding": "decoding alone", "network": "network alone", "whole": "whole path"}


def make_clips(folder: Path) -> list[Path]:
    """Write the clips: ffmpeg's moving test picture, with a tone."""
    paths = [folder / f"{number}.mp4" for number in range(CLIPS)]
    for number, path in enumerate(paths):
        picture = f"testsrc2=size=320x240:rate=25:duration={SECONDS}"
        sound = f"sine=frequency={300 + 100 * number}:duration={SECONDS}"
        coding = ("-c:v", "libx264", "-preset", "fast", "-pix_fmt", "yuv420p", "-c:a", "aac")
        words = ("-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *coding, str(path))
        subprocess.run([find_ffmpeg(), *words], check=True)
    return paths


def measure(task: Callable[[], int]) -> tuple[float, float]:
    """Run a task that gives its number of frames. Returns frames a second, and frames a second of the processor."""
    clock, before = time.perf_counter(), os.times()
    frames = task()
    seconds, after = time.perf_counter() - clock, os.times()
    return frames / seconds, frames / (sum(after[:4]) - sum(before[:4]))


def rows(threads: int) -> list[dict[str, Any]]:
    """Measure all parts in turn."""
    with tempfile.TemporaryDirectory(prefix="acz-bench-") as place:
        folder = Path(place)
        clips = make_clips(folder)
        extractor = Extractor(FEATURES, read_settings(extractor_file(FEATURES)), folder, threads)
        decoded = [extractor.decode(path) for path in clips]
        count = 0

        def decode() -> int:
            return sum(len(extractor.decode(path, threads=threads).times) for path in clips)

        def compute() -> int:
            return sum(len(extractor.compute(video).times) for video in decoded)

        def whole() -> int:
            nonlocal count
            count += 1
            out = folder / f"out{count}"
            make_videos(clips, out, features=FEATURES, hold_out=0, threads=threads, progress=Progress())
            return CLIPS * SECONDS

        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in WHAT}
        for _ in range(ROUNDS):
            for name, task in (("decoding", decode), ("network", compute), ("whole", whole)):
                measured[name].append(measure(task))
    slower = [
        min(turns) for turns in zip(*(column(measured[name], 0) for name in ("decoding", "network")), strict=True)
    ]
    alone = [
        1 / (1 / first + 1 / second)
        for first, second in zip(column(measured["decoding"], 1), column(measured["network"], 1), strict=True)
    ]
    table: list[dict[str, Any]] = []
    for name, what in WHAT.items():
        speeds, efficient = column(measured[name], 0), column(measured[name], 1)
        is_whole = name == "whole"
        table.append(
            {
                "what": what,
                "features": FEATURES,
                "frames_per_second": f"{median(speeds):.4g}",
                "frames_per_processor_second": f"{median(efficient):.4g}",
                "ratio_to_slower_part": f"{median(a / b for a, b in zip(speeds, slower, strict=True)):.3f}"
                if is_whole
                else "",
                "processor_ratio_to_both_parts": f"{median(a / b for a, b in zip(efficient, alone, strict=True)):.3f}"
                if is_whole
                else "",
                "threads": threads,
                "load": f"{os.getloadavg()[0]:.1f}",
                **environment(),
            }
        )
    return table


def column(pairs: list[tuple[float, float]], place: int) -> list[float]:
    """One value of each pair."""
    return [pair[place] for pair in pairs]


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(f"{__doc__}\nGive one file, a CSV to write.")
    write_csv(Path(sys.argv[1]), rows(cores()))
