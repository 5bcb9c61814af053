"""One video of a data set, with what a picture of it needs: inputs, label in words, frames where they can be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.protocol import Backend
from acz.data.digits import DigitImages, PixelNoise, load_digits, load_mnist
from acz.data.features import Data, read_manifest
from acz.data.flash_mnist import CHUNK, LABELS, Videos
from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.model.spec import Spec

FLASH = "Flash-MNIST"


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


def is_flash_mnist(made: Mapping[str, Any]) -> bool:
    """Whether a manifest's `made` is that of Flash-MNIST's videos."""
    return made.get("what") == FLASH


def made_of(folder: Path) -> dict[str, Any]:
    """A manifest's `made`; empty for data that have none, such as the authors' pickles."""
    return read_manifest(folder).made if (folder / "manifest.json").is_file() else {}


def digits_of(label: int) -> list[int]:
    """The digits that a label of Flash-MNIST stands for: bit d says that digit d is shown."""
    return [digit for digit in range(10) if label >> digit & 1]


def in_words(label: Any, made: Mapping[str, Any]) -> str:
    """A label, or a predicted class, for a reader: the set of digits, a class's number, or the numbers of several."""
    if np.ndim(label):
        return ", ".join(map(str, np.flatnonzero(label))) or "none"
    if not is_flash_mnist(made):
        return f"class {int(label)}"
    return "{" + ", ".join(map(str, digits_of(int(label)))) + "}"


class Frames:
    """Makes the frames of Flash-MNIST's videos again: seed, split and number determine them, so they are not stored."""

    def __init__(self, folder: Path, mnist: Path | None) -> None:
        """`mnist` is the folder of MNIST's files, for videos that were made from them.

        Raises DataError where it is missing, or holds other images than those that the videos were made from.
        """
        self.made = read_manifest(folder).made
        images = self._images(folder, mnist)
        if images.hash != self.made.get("images"):
            raise DataError(
                f"{mnist or 'scikit-learn'} has other images than those that {folder} was made from: their hash is "
                f"{images.hash[:16]}, the manifest says {str(self.made.get('images'))[:16]}; --mnist takes the folder of these"
            )
        self.parts = {"train": images.train, "test": images.test}
        self.noise = PixelNoise.of(images.train.pixels, images.test.pixels)

    def _images(self, folder: Path, mnist: Path | None) -> DigitImages:
        if self.made.get("digits") != "mnist":
            return load_digits()
        if mnist is None:
            raise DataError(
                f"the videos of {folder} are made from MNIST, whose images are not stored with them; "
                "give the folder of its four files with --mnist"
            )
        return load_mnist(mnist)

    def of(self, split: str, number: int, label: int) -> Array:
        """The frames of one video, (frames, 28, 28) of bytes. Raises DataError where its label is not `label`."""
        per_label = int(self.made[f"{split}_videos_per_label"])
        videos = Videos(self.parts[split], self.noise, int(self.made["seed"]), split, per_label)
        frames, labels = videos.chunk(number // CHUNK)
        if labels[number % CHUNK] != label:
            raise DataError(f"video {number} of '{split}' has the label {label}, made again {labels[number % CHUNK]}")
        found: Array = frames[number % CHUNK]
        return found


def take_video(split: Data, number: int, made: Mapping[str, Any], names: Sequence[str] = ()) -> tuple[Video, Any]:
    """A video with all its inputs, or those of `names`, and its label. Raises DataError for a number that is none."""
    if not 0 <= number < len(split):
        raise DataError(f"{split.folder}/{split.name} has videos 0 .. {len(split) - 1}, there is no {number}")
    stored = list(split.known)
    examples = split.take(np.array([number]), list(names or stored))
    inputs = {}
    for name in names or stored:
        value, mask = examples.inputs[name][0], examples.inputs.get(f"{name}.mask")
        inputs[name] = value if mask is None else value[mask[0]]
    label = examples.labels[0]
    return Video(number, split.name, in_words(label, made), inputs), label


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
        step.path: spec.streams[step.path.partition(".")[0]].input
        for step in spec.layout
        if "weights" in step.layer.recorded() and not step.bag
    }


def add_look(video: Video, spec: Spec, made: Mapping[str, Any], output: Array, weights: Mapping[str, Array]) -> None:
    """Put what a model made of a video into it: `output` (classes) and `weights` (frames, units) by path."""
    several = spec.output in ("sigmoid", "probabilities")
    predicted = output >= 0.5 if several else int(output.argmax())
    video.predicted = in_words(predicted, made if spec.width == LABELS else {})
    for path, source in attending(spec).items():
        frames = len(video.inputs[source])
        video.attention.append(Attention(path, source, weights[path][:frames].T))
