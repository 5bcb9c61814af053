"""One video with all that a picture of it needs: inputs, the label in words, frames, and attention weights."""

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
    """The attention of one layer to the frames of one video."""

    path: str
    """The layer, or a heading for the picture."""
    input: str
    """The name of the input whose frames are weighted."""
    weights: Array
    """(units, frames), or (runs, frames) where each row is the mean over a run's units."""
    rows: str = "unit"
    """The meaning of a row: `unit` or `run`."""


@dataclass
class Video:
    """One video of a split, ready to be drawn."""

    number: int
    split: str
    label: str
    inputs: dict[str, Array]
    """(frames, features) without padding by name, or arrays of another shape."""
    pixels: Array | None = None
    """The frames (frames, 28, 28), where they can be made."""
    predicted: str = ""
    attention: list[Attention] = field(default_factory=list)


def take_video(split: Data, number: int, description: Description, names: Sequence[str] = ()) -> tuple[Video, Any]:
    """Read one video and its label.

    Args:
        split: The split to read.
        number: The number of the video in its split.
        description: Writes the label in words.
        names: The inputs to read; by default all of them.

    Raises:
        DataError: The split has no video of this number.
    """
    if not 0 <= number < len(split):
        raise DataError(f"{split.folder}/{split.name} has videos 0 .. {len(split) - 1}; {number} is not one of them")
    names = list(names or split.input_names)
    examples = split.take(np.array([number]), names)
    inputs = {}
    for name in names:
        value, mask = examples.inputs[name][0], examples.inputs.get(f"{name}.mask")
        inputs[name] = value if mask is None else value[mask[0]]
    label = examples.labels[0]
    return Video(number, split.name, description.in_words(label), inputs), label


def compute_attention(
    backend: Backend, model: Any, spec: Spec, split: Data, numbers: Sequence[int]
) -> tuple[Array, dict[str, Array]]:
    """Run a model on some videos.

    Returns:
        The outputs (videos, classes), and the weights (videos, frames, units) of every layer with attention, by path.
    """
    examples = split.take(np.array(numbers), list(spec.inputs))
    paths = list(attention_layers(spec))
    recorded = backend.forward(model, examples.inputs, record=[f"{path}.weights" for path in paths])
    return recorded["output"], {path: recorded[f"{path}.weights"] for path in paths}


def attention_layers(spec: Spec) -> dict[str, str]:
    """Map the path of each layer that weights frames to the name of the input that it reads."""
    return {
        placed.path: spec.streams[placed.path.partition(".")[0]].input
        for placed in spec.layout
        if "weights" in placed.layer.recorded() and not placed.bag
    }


def add_attention(
    video: Video, spec: Spec, description: Description, output: Array, weights: Mapping[str, Array]
) -> None:
    """Add a model's prediction and attention to a video.

    Args:
        video: The video that is changed.
        spec: The model.
        description: Writes the predicted classes in words, where the model has the classes of the data set.
        output: (classes).
        weights: (frames, units) by the path of the layer; frames may be padded.
    """
    several_labels = spec.output in ("sigmoid", "probabilities")
    predicted = output >= 0.5 if several_labels else int(output.argmax())
    words = description if spec.width == description.classes else Description()
    video.predicted = words.in_words(predicted)
    for path, source in attention_layers(spec).items():
        frames = len(video.inputs[source])
        video.attention.append(Attention(path, source, weights[path][:frames].T))
