"""Curves of several runs in one chart: inline SVG with real text, in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 22.0, 12.0, 40.0
THINNEST, THICKER = 1.6, 1.9
"""Pixels. Each curve is thinner than the one under it, so curves that coincide are seen as stripes."""


@dataclass(frozen=True)
class Curve:
    """The points of one run. `number` picks the colour."""

    label: str
    number: int
    x: Sequence[float]
    y: Sequence[float]


def chart(title: str, x_name: str, curves: Sequence[Curve], percent: bool = False, stripes: bool = True) -> str:
    """Draw curves as an SVG element.

    Args:
        title: The heading that a screen reader reads.
        x_name: The name of the horizontal axis.
        curves: The curves, in the order in which they are drawn.
        percent: True where values are shares, 0 .. 1.
        stripes: True to draw each curve thinner than the one under it.
    """
    points = [(x, y) for curve in curves for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    if not points:
        return "<p>No points yet.</p>"
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    x_ticks = ticks(low_x, high_x, 6, whole=True)
    y_ticks = ticks(min(y for _, y in points), max(y for _, y in points), 5)
    bottom, top = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return LEFT + (x - low_x) / ((high_x - low_x) or 1) * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (y - bottom) / ((top - bottom) or 1) * (HEIGHT - TOP - BOTTOM)

    labels = "; ".join(f"{curve.label} ends at {number(curve.y[-1], percent)}" for curve in curves if curve.y)
    parts = [
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" aria-label="{escape(f"{title}: {labels}")}">'
    ]
    for value in y_ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>')
        text = number(value, percent, y_ticks[1] - y_ticks[0])
        parts.append(f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end">{text}</text>')
    for value in (value for value in x_ticks if low_x <= value <= high_x):
        parts.append(
            f'<text x="{across(value):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{value:,.0f}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_name)}</text>'
    )
    for index, curve in enumerate(curves):
        width = THINNEST + (THICKER * (len(curves) - 1 - index) if stripes else 0)
        pairs = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in pairs)
        attributes = f'class="run{curve.number % 8}" stroke-width="{width:.1f}"'
        if len(pairs) == 1:
            parts.append(f'<circle {attributes} cx="{line.split(",")[0]}" cy="{line.split(",")[1]}" r="2"/>')
        else:
            parts.append(f'<polyline {attributes} points="{line}"/>')
    return "\n".join([*parts, "</svg>"])


def ticks(low: float, high: float, count: int, whole: bool = False) -> list[float]:
    """About `count` round numbers that enclose low .. high, at least two. `whole`: whole numbers alone, perhaps fewer."""
    if high <= low:
        low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((nice * power for nice in (1, 2, 5) if nice * power >= rough), 10 * power)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def number(value: float, percent: bool = False, step: float | None = None) -> str:
    """Write a value for a reader, with the digits that tell it from a value one `step` away."""
    if percent:
        return f"{value * 100:.{_digits(step * 100) if step else 2}f} %"
    return f"{value:.{_digits(step) if step else 4}f}"


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))
