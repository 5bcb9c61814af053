"""A picture of a video: its frames, or its features as a heat map, above the weights of every attention unit."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import MissingError
from acz.foundation.installation import install_command
from acz.studies.reports.attention import Attention, Video

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, DOTS = 12.0, 120
"""The width in inches, and the dots of an inch."""

SIDE = WIDTH / 27
"""The side of a frame in inches, in a strip of 25 frames."""


def draw_strip(video: Video) -> bytes:
    """Draw a video as a PNG picture. Equal videos give equal bytes.

    Raises:
        MissingError: matplotlib is not installed.
    """
    rows = [row for name in video.inputs for row in _rows(video, name)]
    heights = [height for height, _, _ in rows]
    figure = _figure(sum(heights) + 0.45 * len(rows) + 0.45)
    figure.suptitle(_title(video), x=0.02, ha="left", fontsize=11)
    grid = figure.add_gridspec(len(rows), 2, width_ratios=[60, 1], height_ratios=heights)
    for number, (_, kind, value) in enumerate(rows):
        axes, scale = figure.add_subplot(grid[number, 0]), figure.add_subplot(grid[number, 1])
        if kind == "frames":
            _frames(axes, value)
        elif kind == "picture":
            _picture(axes, value)
        else:
            image = _heat(axes, value, kind)
            figure.colorbar(image, cax=scale).ax.tick_params(labelsize=7)
            continue
        scale.set_axis_off()
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _title(video: Video) -> str:
    text = f"video {video.number} of {video.split}: {video.label}"
    return f"{text}, predicted {video.predicted}" if video.predicted else text


def _figure(height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        command = install_command("acz[report]")
        raise MissingError(f"pictures need matplotlib, which is not installed; {command} brings it") from None
    return Figure(figsize=(WIDTH, height), dpi=DOTS, layout="constrained")


def _rows(video: Video, name: str) -> list[tuple[float, str | Attention, Array]]:
    """The parts of the picture for one input: height in inches, kind, and values."""
    value = video.inputs[name]
    rows: list[tuple[float, str | Attention, Array]] = []
    if video.pixels is not None:
        rows.append((SIDE, "frames", video.pixels))
    elif value.ndim == 3 and value.dtype == np.uint8 and len(value) in (1, 3):
        rows.append((2.5, "picture", value))
    else:
        flat = value.reshape(len(value), -1).T  # (features, frames)
        rows.append((_height(len(flat)), f"features of '{name}'", flat))
    rows += [(_height(len(a.weights)), a, a.weights) for a in video.attention if a.input == name]
    return rows


def _height(rows: int) -> float:
    return float(np.clip(rows * 0.05, 0.6, 3.2))


def _frames(axes: Axes, pixels: Array) -> None:
    count, height, width = pixels.shape
    strip = pixels.transpose(1, 0, 2).reshape(height, count * width)
    axes.imshow(strip, cmap="gray", vmin=0, vmax=255, aspect="auto", extent=(-0.5, count - 0.5, height, 0))
    for edge in range(1, count):
        axes.axvline(edge - 0.5, color="white", linewidth=1.5)
    axes.set_yticks([])
    _number_frames(axes, count)


def _picture(axes: Axes, value: Array) -> None:
    axes.imshow(value[0] if len(value) == 1 else value.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()


def _heat(axes: Axes, value: Array, kind: str | Attention) -> Any:
    is_attention = isinstance(kind, Attention)
    rows, count = value.shape
    colors = {"cmap": "magma", "vmin": 0.0} if is_attention else {"cmap": "viridis"}
    extent = (-0.5, count - 0.5, rows - 0.5, -0.5)
    image = axes.imshow(value, aspect="auto", interpolation="nearest", extent=extent, **colors)
    axes.set_ylabel(kind.rows if isinstance(kind, Attention) else "feature", fontsize=8)
    if rows <= 12:
        axes.set_yticks(range(rows))
    axes.tick_params(axis="y", labelsize=7)
    heading = f"attention of {kind.path}" if isinstance(kind, Attention) else kind
    axes.set_title(heading, fontsize=9, loc="left")
    _number_frames(axes, count)
    return image


def _number_frames(axes: Axes, count: int) -> None:
    every = max(1, -(-count // 50))
    axes.set_xticks(range(0, count, every))
    axes.tick_params(axis="x", labelsize=7, length=2)
