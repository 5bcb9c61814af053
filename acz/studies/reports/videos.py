"""The section of a report about attention: some videos with the weights of every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Array
from acz.foundation.errors import DataError
from acz.foundation.progress import Progress
from acz.studies.reports.attention import Attention, Video, add_attention, attention_layers, take_video
from acz.studies.reports.page import figure, note, picture
from acz.studies.reports.run_comparison import ReportedRun
from acz.studies.reports.run_data import RunData
from acz.studies.reports.strip import draw_strip


@dataclass(frozen=True)
class RunAttention:
    """The outputs and the attention of a run's model on the videos that are drawn."""

    output: Array
    """(videos, classes)."""
    weights: Mapping[str, Array]
    """(videos, frames, units) by the path of the layer."""


def draw_videos(
    runs: Sequence[ReportedRun],
    attention: Mapping[str, RunAttention],
    data: RunData,
    numbers: Sequence[int],
    mnist: Path | None,
    shown: Progress,
) -> tuple[list[str], dict[str, str]]:
    """Draw each video with every unit of the first run, and with the mean over the units of each run.

    Args:
        runs: Runs of one experiment.
        attention: The attention by the label of a run.
        data: The data of the first run.
        numbers: The numbers of the videos.
        mnist: The folder of MNIST's files, to make frames from.
        shown: Progress by video.

    Returns:
        HTML parts, and the reasons for what is missing.

    Raises:
        MissingError: matplotlib is not installed.
    """
    first = runs[0]
    parts, missing, frames = [], {}, None
    if data.description.open_frames is not None:
        try:
            frames = data.description.open_frames(mnist)
        except DataError as error:
            parts.append(note(f"Features instead of frames: {error}."))
            missing["frames"] = str(error)
    for index, number in enumerate(numbers):
        shown("attention", index, len(numbers))
        video, label = take_video(data.split, number, data.description, list(first.spec.inputs))
        if frames is not None:
            video.pixels = frames.make(data.split.name, number, label)
        of_first = attention[first.label]
        weights = {path: value[index] for path, value in of_first.weights.items()}
        add_attention(video, first.spec, data.description, of_first.output[index], weights)
        if len(runs) > 1:
            _add_means(video, runs, attention, index)
        alt = f"Video {number}, label {video.label}, predicted {video.predicted}. {_peaks_in_words(video)}"
        text = f"Video {number}: {video.label}, predicted {video.predicted} by {first.label}."
        difference = _difference_in_words(runs, attention, index)
        parts.append(figure(picture(draw_strip(video), alt), f"{text} {difference}"))
    return parts, missing


def _add_means(video: Video, runs: Sequence[ReportedRun], attention: Mapping[str, RunAttention], index: int) -> None:
    for path, source in attention_layers(runs[0].spec).items():
        frames = len(video.inputs[source])
        means = np.stack([attention[run.label].weights[path][index, :frames].mean(axis=1) for run in runs])
        labels = ", ".join(f"{number} {run.label}" for number, run in enumerate(runs))
        video.attention.append(Attention(f"{path}, mean of the units by run: {labels}", source, means, "run"))


def _peaks_in_words(video: Video) -> str:
    """Name the three frames of the largest mean weight, for each layer."""
    texts = []
    for attention in video.attention:
        if attention.rows == "unit":
            frames = np.argsort(-attention.weights.mean(axis=0), kind="stable")[:3]
            texts.append(f"The units of {attention.path} look most at frames {', '.join(map(str, sorted(frames)))}.")
    return " ".join(texts)


def _difference_in_words(runs: Sequence[ReportedRun], attention: Mapping[str, RunAttention], index: int) -> str:
    if len(runs) < 2:
        return ""
    single = mean = 0.0
    for path in attention_layers(runs[0].spec):
        weights = np.stack([attention[run.label].weights[path][index] for run in runs])  # (runs, frames, units)
        single = max(single, float(np.ptp(weights, axis=0).max()))
        mean = max(mean, float(np.ptp(weights.mean(axis=2), axis=0).max()))
    return (
        f"Largest difference between the runs: {mean:.3f} in the mean of the units, "
        f"{single:.3f} in a single unit's weight."
    )
