"""A page about videos that a model has tagged: pictures, labels over time, and what the attention units look at."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from acz.foundation.arrays import Array
from acz.studies.reports.page import figure, note, page, picture, table

PICTURES, SIDE = 12, 112
"""The most pictures of a video, and the most pixels of a picture's side."""
UNITS, CURVES = 8, 5
"""The units of each layer, and the labels over time, that are drawn."""
WIDTH, LEFT, HEIGHT = 480, 40, 150
"""The width of a drawing, of its left margin, and the height of the curves."""
ROW = 14
"""The height of a unit's row."""


@dataclass(frozen=True)
class TaggedPart:
    """A window in time, with the score of every class."""

    start: float
    end: float
    scores: Array
    """(classes)."""


@dataclass(frozen=True)
class Tagged:
    """A video with what a model says of it."""

    name: str
    times: Array
    """Seconds of each row of features, (rows)."""
    scores: Array
    """Scores of the whole video, (classes)."""
    windows: list[TaggedPart]
    frames: Array | None = None
    """uint8 (rows, height, width, 3)."""
    attention: dict[str, Array] = field(default_factory=dict)
    """The weights (units, rows) of each layer that weights frames, by its path."""


def draw_page(videos: Sequence[Tagged], names: Sequence[str], model: str, count: int) -> str:
    """Write a self-contained page.

    Args:
        videos: The videos.
        names: The names of the classes.
        model: The name of the model.
        count: The best labels that are listed.
    """
    lead = (
        f'<p class="quiet">{len(videos)} videos, by {escape(model)}</p>'
        if len(videos) > 1
        else f"<p>by {escape(model)}</p>"
    )
    sections = [(f"video{number}", video.name, _section(video, names, count)) for number, video in enumerate(videos)]
    return page("Tagged videos" if len(videos) > 1 else videos[0].name, lead, sections)


def best_labels(scores: Array, count: int) -> list[int]:
    """The classes with the best scores, best first."""
    return [int(label) for label in np.argsort(-scores, kind="stable")[:count]]


def _section(video: Tagged, names: Sequence[str], count: int) -> str:
    best = best_labels(video.scores, count)
    rows = [[names[label], f"{video.scores[label]:.4f}"] for label in best]
    parts = [table("The best labels of the whole video", ["label", "score"], rows)]
    if video.frames is not None:
        parts.append(_thumbnails(video.frames, video.times))
    parts.append(_curves(video, names, best[:CURVES]))
    parts += [_strip(path, weights, video.times) for path, weights in video.attention.items()]
    if not video.attention:
        parts.append(note("The model has no layer that weights frames."))
    return "\n".join(parts)


def _thumbnails(frames: Array, times: Array) -> str:
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(PICTURES, len(frames))).round().astype(int))
    step = -(-max(frames.shape[1:3]) // SIDE)
    images = "".join(picture(encode_png(frames[row][::step, ::step]), f"{times[row]:.0f} s") for row in chosen)
    style = "display:grid;grid-template-columns:repeat(auto-fill,minmax(5.5rem,1fr));gap:0.4rem"
    words = ", ".join(f"{times[row]:.0f}" for row in chosen)
    return figure(f'<div style="{style}">{images}</div>', f"Frames at {words} seconds")


def _curves(video: Tagged, names: Sequence[str], best: Sequence[int]) -> str:
    end = max(float(video.windows[-1].end), 1e-9)
    most = max(1e-9, *(float(window.scores[label]) for window in video.windows for label in best))
    lines, key = [], []
    for number, label in enumerate(best):
        points = [
            (
                LEFT + (window.start + window.end) / 2 / end * (WIDTH - LEFT - 8),
                HEIGHT - 20 - window.scores[label] / most * (HEIGHT - 32),
            )
            for window in video.windows
        ]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline class="run{number}" stroke-width="2" points="{drawn}"/>')
        lines += [f'<circle class="run{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="none"/>' for x, y in points]
        key.append(
            f'<li><svg viewBox="0 0 32 12" aria-hidden="true"><polyline class="run{number}" stroke-width="3" points="0,6 32,6"/></svg>'
            f"{escape(names[label])}</li>"
        )
    axis = f'<text x="0" y="16">{most:.2f}</text><text x="0" y="{HEIGHT - 18}">0</text>{_seconds(end, HEIGHT - 4)}'
    words = f"Scores of {', '.join(names[label] for label in best)} over time"
    drawing = f'<svg class="chart" style="max-width:48rem" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(words)}">{axis}{"".join(lines)}</svg>'
    length = video.windows[0].end - video.windows[0].start
    caption = f"The labels' scores in windows of {length:g} s, by the middle of the window"
    return f'<ul class="key">{"".join(key)}</ul>' + figure(drawing, caption)


def _strip(path: str, weights: Array, times: Array) -> str:
    """The weights over time of the units that are the least even."""
    units = np.argsort(-weights.max(axis=1), kind="stable")[:UNITS]
    width, height = (WIDTH - LEFT) / weights.shape[1], len(units) * ROW
    cells = [
        f'<rect x="{LEFT + row * width:.2f}" y="{place * ROW}" width="{width:.2f}" height="{ROW - 2}" fill="currentColor" '
        f'fill-opacity="{weights[unit, row] / max(weights[unit].max(), 1e-9):.2f}"/>'
        for place, unit in enumerate(units)
        for row in range(weights.shape[1])
    ]
    labels = [f'<text x="0" y="{place * ROW + ROW - 3}">{unit}</text>' for place, unit in enumerate(units)]
    words = f"Attention of {path} over time, units {', '.join(map(str, units.tolist()))}"
    end = float(times[-1]) + (float(times[1] - times[0]) if len(times) > 1 else 1.0)
    drawing = (
        f'<svg class="chart" style="max-width:48rem" role="img" viewBox="0 0 {WIDTH} {height + 18}" aria-label="{escape(words)}">'
        f"{''.join(labels)}{''.join(cells)}{_seconds(end, height + 14)}</svg>"
    )
    return figure(
        drawing, f"Attention of {path}: the units with the strongest weights; dark is where a unit looks most"
    )


def _seconds(end: float, height: float) -> str:
    """The first and the last second under a drawing."""
    return (
        f'<text x="{LEFT}" y="{height}">0 s</text>'
        f'<text x="{WIDTH - 4}" y="{height}" text-anchor="end">{end:.0f} s</text>'
    )


def encode_png(pixels: Array) -> bytes:
    """Pixels uint8 (height, width, 3) as a PNG file."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
