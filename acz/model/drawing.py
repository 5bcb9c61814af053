"""A model as a drawing: its inputs, streams and layers, with shapes and parameter counts, as one SVG file.

Boxes have a light ground and dark text. Everything outside them has a grey that is readable on white and on black.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.etree import ElementTree

from acz.foundation.arrays import Shape
from acz.model.spec import PlacedLayer, Spec

GREY, INK, NOTE = "#737a87", "#111827", "#374151"
GROUND = {"input": "#d1fae5", "weights": "#dbeafe", "plain": "#f1f3f5", "output": "#ffe8cc"}
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
ARROW, GAP, PAD, MARGIN, NAME, NOTE_LINE = 30.0, 28.0, 14.0, 20.0, 22.0, 16.0
"""Pixels: an arrow's length, gaps between columns, padding, the margin, a frame's name, a line of a note."""

NARROWEST, WIDEST = 200.0, 320.0
LETTER = 0.58
"""The width of an average letter of a sans-serif font, in ems. It is generous, because the viewer's font is unknown."""


@dataclass(frozen=True)
class Box:
    """A box: head and kind in its first line, under them a note and a count. `below` is the shape of its output."""

    head: str
    kind: str = ""
    note: str = ""
    count: str = ""
    ground: str = "plain"
    below: str = ""

    @property
    def width(self) -> float:
        """The width in pixels that the texts need."""
        first = _width(self.head, 14) + PAD + _width(self.kind, 12)
        second = _width(self.note, 12) + self._count_width
        return max(NARROWEST, first + 2 * PAD, min(second + 2 * PAD, WIDEST))

    @property
    def _count_width(self) -> float:
        return PAD + _width(self.count, 12) if self.count else 0.0

    def lines(self, width: float) -> list[str]:
        """Break the note into lines that fit a box of this width."""
        letters = int((width - 2 * PAD - self._count_width) / (12 * LETTER)) + 1
        return textwrap.wrap(self.note, letters) or ([""] if self.count else [])

    def height(self, width: float) -> float:
        """Give the height in pixels of the box at this width."""
        return 30 + NOTE_LINE * len(self.lines(width))


@dataclass(frozen=True)
class Column:
    """A stream or the trunk: boxes one below the other, in a frame with a name."""

    name: str
    boxes: list[Box]
    input: str = ""

    @property
    def width(self) -> float:
        """The width in pixels of the frame."""
        return max([NARROWEST, _width(self.name, 12), *(box.width for box in self.boxes)]) + 2 * PAD

    @property
    def height(self) -> float:
        """The height in pixels of the frame: its name, the boxes and the arrows between them."""
        if not self.boxes:
            return 0.0
        inside = sum(box.height(self.width - 2 * PAD) for box in self.boxes)
        return NAME + inside + ARROW * (len(self.boxes) - 1) + PAD


def draw(spec: Spec, name: str, description: str = "") -> str:
    """Draw a model as an SVG document that refers to no other file.

    Args:
        spec: the model.
        name: the title of the drawing.
        description: text under the title.
    """
    boxes: dict[str, list[Box]] = {"trunk": []}
    for placed in spec.layout:
        boxes.setdefault(placed.path.partition(".")[0], []).append(_box(placed))
    streams = [Column(key, boxes.get(key, []), stream.input) for key, stream in spec.streams.items()]
    drawing = _Drawing(streams, Column("trunk", boxes["trunk"]))
    return drawing.run(spec, f"{name}, {spec.parameter_count:,} parameters", description)


def shape_text(shape: Shape) -> str:
    """Write a shape as `25 \u00d7 50`, with the sign of multiplication."""
    return " \u00d7 ".join(f"{side:,}" for side in shape)


def in_words(spec: Spec, description: str = "") -> str:
    """Describe the drawing in words, for readers who cannot see it."""
    parts = [description.rstrip(".") + "."] if description else []
    for name, stream in spec.streams.items():
        chain = _chain([placed for placed in spec.layout if placed.path.startswith(f"{name}.")])
        shape = shape_text(spec.inputs[stream.input].resolve())
        parts.append(f"Stream {name} reads input {stream.input} ({shape}): {chain or 'no layers'}.")
    trunk = [placed for placed in spec.layout if placed.path.startswith("trunk.")]
    if trunk:
        parts.append(f"Trunk over the streams' {trunk[0].input_shape[0]:,} numbers: {_chain(trunk)}.")
    return " ".join([*parts, f"Output: {_output(spec)}."])


def _chain(layers: Sequence[PlacedLayer]) -> str:
    return ", then ".join(
        f"{placed.path.partition('.')[2]} ({placed.layer.type}) to {shape_text(placed.output_shape)}"
        for placed in layers
    )


def _output(spec: Spec) -> str:
    return f"{spec.output} over {spec.width:,}" if spec.output != "none" else f"{spec.width:,} numbers"


def _box(placed: PlacedLayer) -> Box:
    settings = placed.layer.model_dump(exclude_unset=True, exclude={"type"}, mode="json")
    notes = [f"{key}\u00a0{_setting(value)}" for key, value in settings.items()]  # lines break between settings only
    note = ", ".join([*notes, f"each bag of\u00a0{placed.bag} frames"] if placed.bag else notes)
    count = sum(p.size for p in placed.parameters.values())
    ground = "weights" if count else "plain"
    head = placed.path.partition(".")[2]
    return Box(head, placed.layer.type, note, f"{count:,}" if count else "", ground, shape_text(placed.output_shape))


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_setting(inner)}" for key, inner in value.items()) + ")"
    if isinstance(value, list):
        return "\u00a0+\u00a0".join(map(_setting, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _width(text: str, size: float) -> float:
    return len(text) * size * LETTER


class _Drawing:
    """The placing of the boxes, from top to bottom, and the SVG elements."""

    def __init__(self, streams: list[Column], trunk: Column) -> None:
        self.streams, self.trunk = streams, trunk
        self.across = sum(column.width for column in streams) + GAP * (len(streams) - 1)
        self.root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
        self.middle = 0.0

    def run(self, spec: Spec, title: str, description: str) -> str:
        """Place everything and give the document."""
        inner = max(self.across, self.trunk.width, _width(title, 16))
        lines = textwrap.wrap(description, int(max(inner, 420) / (12 * LETTER)))
        inner = max([inner, *(_width(line, 12) for line in lines)])
        self.middle = inner / 2 + MARGIN
        for tag, text in (("title", title), ("desc", in_words(spec, description))):
            ElementTree.SubElement(self.root, tag, {"id": f"model-{tag}"}).text = text
        self.root.set("aria-labelledby", "model-title model-desc")
        self.root.set("font-family", FONT)
        y = MARGIN + 16
        self._text(self.middle, y, title, 16, GREY, "middle", "600")
        for line in lines:
            y += 18
            self._text(self.middle, y, line, 12, GREY, "middle")
        y = self._inputs_and_streams(spec, y + 18)
        if len(self.streams) > 1:
            width = spec.layout[-len(self.trunk.boxes)].input_shape[0] if self.trunk.boxes else spec.width
            joint = Box("concatenate", below=f"{width:,}")
            y = self._boxed(joint, self.middle - joint.width / 2, y, joint.width)
            y = self._arrow(self.middle, y, joint.below)
        if self.trunk.boxes:
            y = self._column(self.trunk, self.middle - self.trunk.width / 2, y)
            y = self._arrow(self.middle, y, self.trunk.boxes[-1].below)
        last = Box("output", note=_output(spec), ground="output")
        y = self._boxed(last, self.middle - last.width / 2, y, last.width)
        across, down = 2 * self.middle, y + MARGIN
        self.root.set("viewBox", f"0 0 {across:.0f} {down:.0f}")
        self.root.set("width", f"{across:.0f}")
        self.root.set("height", f"{down:.0f}")
        ElementTree.indent(self.root, " ")
        return ElementTree.tostring(self.root, encoding="unicode") + "\n"

    def _inputs_and_streams(self, spec: Spec, top: float) -> float:
        """Draw the inputs and the streams. Neighbouring streams of one input share its box.

        Gives the y of their end.
        """
        x = self.middle - self.across / 2
        begin = top + 30 + NOTE_LINE + ARROW
        end = begin + max(column.height for column in self.streams)
        many = len(self.streams) > 1
        middles = []
        for name, group in groupby(self.streams, lambda column: column.input):
            columns = list(group)
            entry = spec.inputs[name]
            note = shape_text(entry.resolve()) + (", any number of frames" if entry.has_frames else "")
            width = sum(column.width for column in columns) + GAP * (len(columns) - 1)
            self._boxed(Box(name, f"input, {entry.dtype}", note, ground="input"), x, top, width)
            for column in columns:
                middles.append(x + column.width / 2)
                bottom = begin - ARROW
                if column.boxes:
                    self._arrow(middles[-1], bottom)
                    bottom = self._column(column, x, begin)
                if many:
                    self._line(middles[-1], bottom, middles[-1], end + ARROW)
                    if column.boxes:
                        self._text(middles[-1] + 8, bottom + 19, column.boxes[-1].below, 12, GREY)
                x += column.width + GAP
        if many:
            self._line(middles[0], end + ARROW, middles[-1], end + ARROW)
            return self._arrow(self.middle, end + ARROW)
        only = self.streams[0]
        return self._arrow(
            self.middle, end if only.boxes else begin - ARROW, only.boxes[-1].below if only.boxes else ""
        )

    def _column(self, column: Column, x: float, top: float) -> float:
        """Draw a frame with its boxes and the arrows between them. Gives the y of its end."""
        frame = {"x": x, "y": top, "width": column.width, "height": column.height, "rx": 10.0}
        self._element("rect", frame, {"fill": "none", "stroke": GREY, "stroke-dasharray": "3 3"})
        self._text(x + PAD, top + 16, column.name, 12, GREY, weight="600")
        y = top + NAME
        for number, box in enumerate(column.boxes):
            if number:
                y = self._arrow(x + column.width / 2, y, column.boxes[number - 1].below)
            y = self._boxed(box, x + PAD, y, column.width - 2 * PAD)
        return y + PAD

    def _boxed(self, box: Box, x: float, y: float, width: float) -> float:
        """Draw a box. Gives the y of its end."""
        lines, height = box.lines(width), box.height(width)
        place = {"x": x, "y": y, "width": width, "height": height, "rx": 6.0}
        self._element("rect", place, {"fill": GROUND[box.ground], "stroke": GREY})
        self._text(x + PAD, y + 20, box.head, 14, INK, weight="600")
        self._text(x + width - PAD, y + 20, box.kind, 12, NOTE, "end")
        for number, line in enumerate(lines):
            self._text(x + PAD, y + 22 + NOTE_LINE * (number + 1), line, 12, NOTE)
        self._text(x + width - PAD, y + 22 + NOTE_LINE * len(lines), box.count, 12, INK, "end")
        return y + height

    def _arrow(self, x: float, y: float, shape: str = "") -> float:
        """Draw an arrow down from (x, y) with a shape beside it. Gives the y of its end."""
        end = y + ARROW
        self._line(x, y, x, end - 7)
        self._element("path", {}, {"d": f"M{x - 4.5:.1f} {end - 9:.1f}h9l-4.5 8z", "fill": GREY})
        self._text(x + 8, y + 19, shape, 12, GREY)
        return end

    def _line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self._element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, {"stroke": GREY, "stroke-width": "1.5"})

    def _text(
        self, x: float, y: float, text: str, size: int, fill: str, anchor: str = "start", weight: str = "400"
    ) -> None:
        if text:
            words = {"font-size": str(size), "fill": fill, "text-anchor": anchor, "font-weight": weight}
            self._element("text", {"x": x, "y": y}, words).text = text

    def _element(self, tag: str, numbers: dict[str, float], words: dict[str, str]) -> ElementTree.Element:
        plain = {key: f"{value:.1f}".removesuffix(".0") for key, value in numbers.items()}
        return ElementTree.SubElement(self.root, tag, plain | words)
