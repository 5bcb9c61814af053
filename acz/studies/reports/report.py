"""`acz report`: one page about one run or several. What can't be had is said in its place, and the rest is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acz.backend.worker import Worker
from acz.data.registry import fingerprint, open_split, recognise
from acz.foundation.arrays import Array
from acz.foundation.errors import AczError, CheckpointError, DataError, MissingError
from acz.foundation.files.atomic import write_text_atomically
from acz.foundation.progress import Progress
from acz.foundation.randomness import generator
from acz.foundation.version import __version__
from acz.studies.reports import sections
from acz.studies.reports.attention import Attention, Video, add_look, attending, take_video
from acz.studies.reports.jobs import PredictionRequest
from acz.studies.reports.mistakes import Predicted, mistakes
from acz.studies.reports.page import figure, note, page, picture
from acz.studies.reports.predictions import choose_backend, look_at, predict
from acz.studies.reports.run_comparison import Reported, largest_differences, read_runs
from acz.studies.reports.strip import draw_strip

SPLIT = "test"


@dataclass
class Options:
    """What a user may choose. `parity` and `mnist` are a file and a folder; `backend` none lets the work decide."""

    backend: str | None = None
    device: str = "CPU"
    threads: int = 1
    videos: int = 3
    mnist: Path | None = None
    parity: Path | None = None
    labels: list[str] | None = None
    """Names of the classes."""


@dataclass
class Findings:
    """What the backends computed: predictions and attention of each run, or why there are none."""

    predicted: list[Predicted] = field(default_factory=list)
    looks: dict[str, tuple[Array, dict[str, Array]]] = field(default_factory=dict)
    """Outputs and weights of the sampled videos by run."""
    problems: dict[str, str] = field(default_factory=dict)
    backends: dict[str, str] = field(default_factory=dict)


def write_report(
    folders: Sequence[Path],
    out: Path,
    options: Options,
    shown: Progress,
    above: Sequence[tuple[str, str, str]] = (),
) -> dict[str, Any]:
    """Write the page, with sections (name, heading, HTML) `above` its own; gives where it is, how far the runs are apart, and what could not be made.

    Raises CheckpointError where a folder is no run, DataError for a parity file that is none.
    """
    runs = read_runs(folders)
    groups: dict[Any, list[Reported]] = {}
    for run in runs:
        groups.setdefault(run.experiment, []).append(run)
    together = list(groups.values())
    parity = sections.parity(runs, options.parity)
    found = _compute(runs, together, options, shown)
    attention, missing = _attention(together, found, options, shown)
    parts = [
        *above,
        ("runs", "Runs", sections.overview(runs)),
        ("curves", "Loss and accuracy", sections.curves(runs, together)),
        ("confusions", "What is mistaken for what", _confusions(found, options.labels)),
        ("attention", "What the units look at", attention),
        ("configuration", "Configuration", sections.configuration(runs)),
        ("versions", "Versions", sections.versions(runs)),
        ("parity", "Parity", parity),
        ("exports", "Exports", sections.exports(runs)),
    ]
    title = ", ".join(dict.fromkeys(str(run.run["name"]) for run in runs))
    several = f"{len(runs)} runs" if len(runs) > 1 else f"run {runs[0].label}"
    lead = f'<p class="quiet">{several}; written by acz {__version__}.</p>'
    write_text_atomically(out, page(f"{title}: {several}", lead, parts))
    return {
        "report": str(out),
        "runs": [run.label for run in runs],
        "largest_differences": [
            {"figure": d.figure, "value": d.value, "epoch": d.epoch}
            for group in together
            if len(group) > 1
            for d in largest_differences(group)
        ],
        "missing": found.problems | missing,
    }


def _compute(
    runs: Sequence[Reported], groups: Sequence[Sequence[Reported]], options: Options, shown: Progress
) -> Findings:
    found = Findings()
    numbers = {run.label: sample(group[0], options.videos) for group in groups for run in group}
    for place, run in enumerate(runs):

        def advance(done: int, total: int, place: int = place, run: Reported = run) -> None:
            shown("predictions", place * total + done, len(runs) * total, run.label)

        try:
            _of_run(run, found, numbers[run.label], options, advance)
        except AczError as error:
            found.problems[run.label] = str(error)
    return found


def _of_run(
    run: Reported, found: Findings, numbers: Sequence[int], options: Options, advance: Callable[[int, int], None]
) -> None:
    """Predictions and attention of one run, from its best checkpoint. Raises AczError."""
    if run.checkpoint is None:
        raise CheckpointError(f"there is no checkpoint in {run.folder} yet")
    data = Path(run.run["data"])
    if fingerprint(data) != run.run.get("data_manifest"):
        raise DataError(f"{data} is not the data set that the run was trained on any more")
    count = len(open_split(data, SPLIT, run.config.reading))
    name = choose_backend(options.backend, str(run.run["backend"]), run.spec, count)
    found.backends[run.label] = name
    request = PredictionRequest(run.checkpoint.resolve(), data.resolve(), SPLIT, run.config.reading, options.device)
    with Worker(name, options.threads) as worker:
        if attending(run.spec) and numbers:
            found.looks[run.label] = look_at(worker, request, numbers)
        got = predict(worker, request, count, lambda done: advance(done, count))
    found.predicted.append((run, recognise(data).describe(data), got))


def sample(run: Reported, count: int) -> list[int]:
    """Which videos are shown: drawn once for each data set, the same for all its runs; none where there are no data."""
    try:
        total = len(open_split(Path(run.run["data"]), SPLIT, run.config.reading))
    except AczError:
        return []
    chosen = generator(0, "report", SPLIT).choice(total, min(count, total), replace=False)
    return sorted(int(number) for number in chosen)


def _confusions(found: Findings, names: list[str] | None) -> str:
    parts = [note(f"{label}: {problem}") for label, problem in found.problems.items()]
    if found.predicted:
        with_what = ", ".join(f"{label} on {name}" for label, name in found.backends.items())
        text = f"Predictions of the best checkpoints on the {SPLIT} split, computed with backends: {with_what}."
        parts.insert(0, note(text))
        parts.append(mistakes(found.predicted, names))
    return "\n".join(parts)


def _attention(
    groups: Sequence[Sequence[Reported]], found: Findings, options: Options, shown: Progress
) -> tuple[str, dict[str, str]]:
    """The section, and why parts of it are missing."""
    parts: list[str] = []
    missing: dict[str, str] = {}
    for group in groups:
        looked = [run for run in group if run.label in found.looks]
        if not looked:
            why = "has no layer that gives its frames weights" if not attending(group[0].spec) else "could not be run"
            parts.append(note(f"{', '.join(run.label for run in group)}: the model {why}."))
            continue
        try:
            parts += _videos(looked, found, options, shown, missing)
        except MissingError as error:
            parts.append(note(str(error)))
            missing["attention"] = str(error)
    return "\n".join(parts), missing


def _videos(
    runs: Sequence[Reported], found: Findings, options: Options, shown: Progress, missing: dict[str, str]
) -> list[str]:
    """A figure for each sampled video: every unit of the first run, and the mean over the units of each run."""
    first = runs[0]
    data = Path(first.run["data"])
    split, description = open_split(data, SPLIT, first.config.reading), recognise(data).describe(data)
    parts, frames = [], None
    if description.open_frames is not None:
        try:
            frames = description.open_frames(options.mnist)
        except DataError as error:
            parts.append(note(f"Features instead of frames: {error}."))
            missing["frames"] = str(error)
    numbers = sample(first, options.videos)
    for place, number in enumerate(numbers):
        shown("attention", place, len(numbers))
        video, label = take_video(split, number, description, list(first.spec.inputs))
        if frames is not None:
            video.pixels = frames.make(SPLIT, number, int(label))
        output, weights = found.looks[first.label]
        add_look(video, first.spec, description, output[place], {path: value[place] for path, value in weights.items()})
        if len(runs) > 1:
            _add_means(video, runs, found, place)
        alt = f"Video {number}, label {video.label}, predicted {video.predicted}. {_most_seen(video)}"
        text = f"Video {number}: {video.label}, predicted {video.predicted} by {first.label}."
        parts.append(figure(picture(draw_strip(video), alt), f"{text} {_apart(runs, found, place)}"))
    return parts


def _add_means(video: Video, runs: Sequence[Reported], found: Findings, place: int) -> None:
    for path, source in attending(runs[0].spec).items():
        frames = len(video.inputs[source])
        means = np.stack([found.looks[run.label][1][path][place, :frames].mean(axis=1) for run in runs])
        named = ", ".join(f"{number} {run.label}" for number, run in enumerate(runs))
        video.attention.append(Attention(f"{path}, mean of the units by run: {named}", source, means, "run"))


def _most_seen(video: Video) -> str:
    """Where the units look, in words."""
    texts = []
    for one in video.attention:
        if one.rows == "unit":
            best = np.argsort(-one.weights.mean(axis=0), kind="stable")[:3]
            texts.append(f"The units of {one.path} look most at frames {', '.join(map(str, sorted(best)))}.")
    return " ".join(texts)


def _apart(runs: Sequence[Reported], found: Findings, place: int) -> str:
    if len(runs) < 2:
        return ""
    single = mean = 0.0
    for path in attending(runs[0].spec):
        weights = np.stack([found.looks[run.label][1][path][place] for run in runs])  # (runs, frames, units)
        single = max(single, float(np.ptp(weights, axis=0).max()))
        mean = max(mean, float(np.ptp(weights.mean(axis=2), axis=0).max()))
    return f"Largest difference between the runs: {mean:.3f} in the mean of the units, {single:.3f} in a single unit's weight."
