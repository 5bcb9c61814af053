"""One video of a data set, with what a picture of it needs: inputs, label in words, frames where they can be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.data.base import Data, Description
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.spec import Spec


@dataclass
class Attention:
    """What the units of one layer look at in one video: `weights` (units, frames), over the frames of input `input`.

    `rows` says what a row is: a unit, or a run, where each row is a mean over units.
    """

    path: str
    input: str
    weights: Array
    rows: str = "unit"


@dataclass
class Video:
    """`inputs` by name, (frames, features) without padding, or an array of another shape; `pixels` (frames, 28, 28) or none."""

    number: int
    split: str
    label: str
    inputs: dict[str, Array]
    pixels: Array | None = None
    predicted: str = ""
    attention: list[Attention] = field(default_factory=list)


def take_video(split: Data, number: int, description: Description, names: Sequence[str] = ()) -> tuple[Video, Any]:
    """A video with all its inputs, or those of `names`, and its label. Raises DataError where no video has this number."""
    if not 0 <= number < len(split):
        raise DataError(f"{split.folder}/{split.name} has videos 0 .. {len(split) - 1}, there is no {number}")
    stored = list(split.input_names)
    examples = split.take(np.array([number]), list(names or stored))
    inputs = {}
    for name in names or stored:
        value, mask = examples.inputs[name][0], examples.inputs.get(f"{name}.mask")
        inputs[name] = value if mask is None else value[mask[0]]
    label = examples.labels[0]
    return Video(number, split.name, description.in_words(label), inputs), label


def look(
    backend: Backend, model: Any, spec: Spec, split: Data, numbers: Sequence[int]
) -> tuple[Array, dict[str, Array]]:
    """Outputs (videos, classes) for some videos, and the weights of every layer that attends, (videos, frames, units), by path."""
    examples = split.take(np.array(numbers), list(spec.inputs))
    found = backend.forward(model, examples.inputs, record=[f"{path}.weights" for path in attending(spec)])
    return found["output"], {path: found[f"{path}.weights"] for path in attending(spec)}


def attending(spec: Spec) -> dict[str, str]:
    """The layers that give every frame a weight: their paths, and the inputs that they look at."""
    return {
        placed.path: spec.streams[placed.path.partition(".")[0]].input
        for placed in spec.layout
        if "weights" in placed.layer.recorded() and not placed.bag
    }


def add_look(video: Video, spec: Spec, description: Description, output: Array, weights: Mapping[str, Array]) -> None:
    """Put what a model computes from a video into it: `output` (classes) and `weights` (frames, units) by path."""
    several = spec.output in ("sigmoid", "probabilities")
    predicted = output >= 0.5 if several else int(output.argmax())
    words = description if spec.width == description.classes else Description()
    video.predicted = words.in_words(predicted)
    for path, source in attending(spec).items():
        frames = len(video.inputs[source])
        video.attention.append(Attention(path, source, weights[path][:frames].T))
