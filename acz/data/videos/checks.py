"""Checks of the files that a user brings for an extractor: the right file, another one, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from acz.data.videos.extractor import ExtractorSettings, FileCheck, FrameSettings
from acz.data.videos.networks import open_network
from acz.data.videos.projection import read_values
from acz.data.videos.sound import BANDS, PATCH
from acz.foundation.errors import DataError

TOLERANCE = 1e-5
"""The relative difference of a value that is published with eight digits."""


@dataclass(frozen=True)
class CheckedFile:
    """The verdict on a file."""

    name: str
    verdict: Literal["right", "wrong", "missing"]
    reason: str
    """The problem, or the place where a missing file is published."""


def check_files(settings: ExtractorSettings, folder: Path) -> list[CheckedFile]:
    """Check each file that an extractor needs. A network that replaces another one is checked in its place.

    Raises MissingError where ONNX Runtime, or the framework of a network, is not installed.
    """
    checked, settings = [], settings.fitted(folder)
    taken = {entry.network for entry in settings.modalities.values()}
    instead = {check.replaces: name for name, check in settings.files.items() if check.replaces}
    for name, check in settings.files.items():
        if name not in taken and (check.replaces or instead.get(name) in taken):
            continue
        if not (folder / name).is_file():
            other = f"; or take {instead[name]}: {settings.files[instead[name]].published}" if name in instead else ""
            checked.append(CheckedFile(name, "missing", f"published: {check.published}{other}"))
            continue
        try:
            _check(name, check, settings, folder)
        except DataError as error:
            checked.append(CheckedFile(name, "wrong", f"{error}; the right one is published: {check.published}"))
        else:
            checked.append(CheckedFile(name, "right", ""))
    return checked


def require_files(settings: ExtractorSettings, folder: Path) -> None:
    """Raise DataError, with the first reason, where a file of an extractor is wrong or missing."""
    for checked in check_files(settings, folder):
        if checked.verdict != "right":
            raise DataError(f"{folder / checked.name} is {checked.verdict}: {checked.reason}")


def _check(name: str, check: FileCheck, settings: ExtractorSettings, folder: Path) -> None:
    """Raise DataError where a file has another shape, value or width than the right one."""
    for array, shape in check.shapes.items():
        word = f"{name}:{array}" if array else name
        values = read_values(folder, word)
        if list(values.shape) != shape:
            raise DataError(f"{word} has the shape {list(values.shape)}, not {shape}")
        for place, wanted in check.values.get(array, {}).items():
            value = float(values.ravel()[place])
            if not abs(value - wanted) <= TOLERANCE * abs(wanted):
                raise DataError(f"{word}: value {place} is {value:.8g}, not {wanted:.8g}")
    if check.width is not None:
        _check_network(name, check, settings, folder)


def _check_network(name: str, check: FileCheck, settings: ExtractorSettings, folder: Path) -> None:
    entry = next(entry for entry in settings.modalities.values() if entry.network == name)
    network = open_network(name, folder, 1, input=entry.input, output=entry.output)
    for rule, words in check.excludes.items():
        if EXCLUDED[rule](folder / name):
            raise DataError(words)
    if isinstance(entry, FrameSettings):
        width, height = entry.size
        shape: tuple[int, ...] = (1, 3, height, width) if entry.layout == "nchw" else (1, height, width, 3)
    else:
        shape = network.shape_of_patches(1, PATCH, BANDS)
    features = network.run(np.zeros(shape, np.uint8 if network.takes_bytes else np.float32), 1)
    if features.shape[1] != check.width:
        raise DataError(f"it gives {features.shape[1]} features, not {check.width}")


def _averages_padding(path: Path) -> bool:
    """True where an average over windows of a network counts the padding, as PyTorch's pooling does by default."""
    import onnx

    nodes: Any = onnx.load(str(path), load_external_data=False).graph.node
    settings = [
        {attribute.name: attribute for attribute in node.attribute} for node in nodes if node.op_type == "AveragePool"
    ]
    return any("count_include_pad" in own and own["count_include_pad"].i == 1 for own in settings)


EXCLUDED: Mapping[str, Callable[[Path], bool]] = {"average_pooling_of_padding": _averages_padding}
"""Properties that tell another network, by the names that a file of features gives them."""
