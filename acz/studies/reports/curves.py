"""Curves of several runs in one chart, as inline SVG whose text stays text and whose colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 22.0, 12.0, 40.0
THINNEST, THICKER = 1.6, 1.9
"""Pixels: curves that lie on each other are seen as stripes, since each is thinner than the one under it."""


@dataclass(frozen=True)
class Curve:
    """One run's points. `number` picks its colour."""

    label: str
    number: int
    x: Sequence[float]
    y: Sequence[float]


def chart(title: str, x_name: str, curves: Sequence[Curve], percent: bool = False, stripes: bool = True) -> str:
    """An SVG element. `stripes` draws the first curve thickest and each later one thinner on top of it."""
    points = [(x, y) for curve in curves for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    if not points:
        return "<p>No points yet.</p>"
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    x_ticks = ticks(low_x, high_x, 6)
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
    for place, curve in enumerate(curves):
        width = THINNEST + (THICKER * (len(curves) - 1 - place) if stripes else 0)
        pairs = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
        line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in pairs)
        attributes = f'class="run{curve.number % 8}" stroke-width="{width:.1f}"'
        if len(pairs) == 1:
            parts.append(f'<circle {attributes} cx="{line.split(",")[0]}" cy="{line.split(",")[1]}" r="2"/>')
        else:
            parts.append(f'<polyline {attributes} points="{line}"/>')
    return "\n".join([*parts, "</svg>"])


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers that enclose low .. high, about `count` of them, two at least."""
    if high <= low:
        low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((nice * power for nice in (1, 2, 5) if nice * power >= rough), 10 * power)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def number(value: float, percent: bool = False, step: float | None = None) -> str:
    """A value for a reader, with the digits that `step` needs."""
    if percent:
        return f"{value * 100:.{_digits(step * 100) if step else 2}f} %"
    return f"{value:.{_digits(step) if step else 4}f}"


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))
