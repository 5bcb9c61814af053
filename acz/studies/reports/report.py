"""One page about one run or several. A part that cannot be made is replaced by the reason, and the rest is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acz.backend.worker import Worker
from acz.foundation.errors import AczError, CheckpointError, MissingError
from acz.foundation.files.atomic import write_text_atomically
from acz.foundation.progress import Progress
from acz.foundation.randomness import generator
from acz.foundation.version import __version__
from acz.studies.reports import sections
from acz.studies.reports.attention import attention_layers
from acz.studies.reports.jobs import SplitRequest
from acz.studies.reports.mistakes import Predicted, mistakes
from acz.studies.reports.page import note, page
from acz.studies.reports.predictions import choose_backend, predict, predict_attention
from acz.studies.reports.run_comparison import Difference, ReportedRun, largest_differences
from acz.studies.reports.run_data import OpenedData, RunData
from acz.studies.reports.videos import RunAttention, draw_videos

Section = tuple[str, str, str]
"""The name, the heading and the HTML of a section."""


@dataclass(frozen=True)
class Options:
    """The choices of a user."""

    backend: str | None = None
    """The backend that predicts; by default `choose_backend` picks one."""
    device: str = "CPU"
    threads: int = 1
    videos: int = 3
    """The number of videos that are drawn."""
    mnist: Path | None = None
    """The folder of MNIST's files, to make frames from."""
    parity: Sequence[Path] = ()
    """Files of `acz parity-check --csv`. The first one with rows about the models is shown."""
    labels: Sequence[str] | None = None
    """The names of the classes."""


@dataclass(frozen=True)
class WrittenReport:
    """A report in short."""

    runs: tuple[str, ...]
    """The labels of the runs."""
    largest_differences: tuple[Difference, ...]
    """Differences between runs of the same experiment."""
    missing: Mapping[str, str]
    """The reasons for missing parts: by the label of a run, or by the name of a part."""


@dataclass(frozen=True)
class Experiment:
    """Runs with the same model, recipe and data."""

    runs: Sequence[ReportedRun]
    numbers: Sequence[int]
    """The videos that are drawn."""


@dataclass
class Computed:
    """The results of the backends, by the label of a run."""

    predicted: list[Predicted] = field(default_factory=list)
    attention: dict[str, RunAttention] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    backends: dict[str, str] = field(default_factory=dict)
    splits: set[str] = field(default_factory=set)
    """The splits that were predicted, by their names in the files."""


def write_report(
    runs: Sequence[ReportedRun],
    data: OpenedData,
    out: Path,
    options: Options,
    shown: Progress,
    above: Sequence[Section] = (),
) -> WrittenReport:
    """Write the page.

    Args:
        runs: The runs.
        data: The opened data of each run.
        out: The HTML file.
        options: The choices of the user.
        shown: Progress of predictions and pictures.
        above: More sections, above those about the runs.
    """
    groups: dict[tuple[str, str, str], list[ReportedRun]] = {}
    for run in runs:
        groups.setdefault(run.experiment, []).append(run)
    experiments = [Experiment(group, _sample(group, data, options.videos)) for group in groups.values()]
    computed = _compute(experiments, data, options, shown)
    attention, missing = _attention(experiments, data, computed, options, shown)
    parts = [
        *above,
        ("runs", "Runs", sections.overview(runs)),
        ("curves", "Loss and accuracy", sections.curves(runs, list(groups.values()))),
        ("confusions", "Mistakes", _mistakes(computed, options.labels)),
        ("attention", "Attention", attention),
        ("configuration", "Configuration", sections.configuration(runs)),
        ("versions", "Versions", sections.versions(runs)),
        ("parity", "Parity", sections.parity(runs, options.parity) + "\n" + sections.proofs(runs)),
        ("exports", "Exports", sections.exports(runs)),
    ]
    names = ", ".join(dict.fromkeys(str(run.run["name"]) for run in runs))
    count = f"{len(runs)} runs" if len(runs) > 1 else f"run {runs[0].label}"
    lead = f'<p class="quiet">{count}; written by acz {__version__}.</p>'
    write_text_atomically(out, page(f"{names}: {count}", lead, parts))
    return WrittenReport(
        runs=tuple(run.label for run in runs),
        largest_differences=tuple(
            difference for group in groups.values() if len(group) > 1 for difference in largest_differences(group)
        ),
        missing=computed.problems | missing,
    )


def _sample(runs: Sequence[ReportedRun], data: OpenedData, count: int) -> list[int]:
    """Draw the videos of an experiment, the same for all its runs. Empty where no run has data."""
    for run in runs:
        opened = data[run.label]
        if isinstance(opened, RunData):
            total = len(opened.split)
            chosen = generator(0, "report", opened.split.name).choice(total, min(count, total), replace=False)
            return sorted(int(number) for number in chosen)
    return []


def _compute(experiments: Sequence[Experiment], data: OpenedData, options: Options, shown: Progress) -> Computed:
    """Predict with the best checkpoint of every run, in the order of the runs."""
    computed = Computed()
    pairs = [(run, experiment.numbers) for experiment in experiments for run in experiment.runs]
    pairs.sort(key=lambda pair: pair[0].number)
    for index, (run, numbers) in enumerate(pairs):

        def advance(done: int, total: int, index: int = index, run: ReportedRun = run) -> None:
            shown("predictions", index * total + done, len(pairs) * total, run.label)

        try:
            _compute_run(run, data[run.label], computed, numbers, options, advance)
        except AczError as error:
            computed.problems[run.label] = str(error)
    return computed


def _compute_run(
    run: ReportedRun,
    data: RunData | AczError,
    computed: Computed,
    numbers: Sequence[int],
    options: Options,
    advance: Callable[[int, int], None],
) -> None:
    """Predict with the best checkpoint of one run. Raises AczError where this is not possible."""
    if run.checkpoint is None:
        raise CheckpointError(f"{run.folder} has no checkpoint yet")
    if isinstance(data, AczError):
        raise data
    count = len(data.split)
    name = choose_backend(options.backend, str(run.run["backend"]), run.spec, count)
    computed.backends[run.label] = name
    request = SplitRequest(
        checkpoint=run.checkpoint.resolve(),
        data=data.location.resolve(),
        split=data.split.name,
        reading=run.config.fitted_reading,
        device=options.device,
    )
    with Worker(name, options.threads) as worker:
        if attention_layers(run.spec) and numbers:
            computed.attention[run.label] = RunAttention(*predict_attention(worker, request, numbers))
        arrays = predict(worker, request, count, lambda done: advance(done, count))
    computed.splits.add(data.split.name)
    computed.predicted.append((run, data.description, arrays))


def _mistakes(computed: Computed, names: Sequence[str] | None) -> str:
    parts = [note(f"{label}: {problem}") for label, problem in computed.problems.items()]
    if computed.predicted:
        backends = ", ".join(f"{label} on {name}" for label, name in computed.backends.items())
        splits = " and ".join(sorted(computed.splits))
        text = f"Predictions of the best checkpoints on the split {splits}, computed with backends: {backends}."
        parts.insert(0, note(text))
        parts.append(mistakes(computed.predicted, names))
    return "\n".join(parts)


def _attention(
    experiments: Sequence[Experiment], data: OpenedData, computed: Computed, options: Options, shown: Progress
) -> tuple[str, dict[str, str]]:
    """Write the section about attention. Returns the reasons for missing parts, too."""
    parts: list[str] = []
    missing: dict[str, str] = {}
    for experiment in experiments:
        runs = [run for run in experiment.runs if run.label in computed.attention]
        if not runs:
            parts.append(note(_no_attention(experiment)))
            continue
        opened = data[runs[0].label]
        assert isinstance(opened, RunData)  # its attention was computed from it
        try:
            figures, problems = draw_videos(runs, computed.attention, opened, experiment.numbers, options.mnist, shown)
        except MissingError as error:
            figures, problems = [note(str(error))], {"attention": str(error)}
        parts += figures
        missing |= problems
    return "\n".join(parts), missing


def _no_attention(experiment: Experiment) -> str:
    labels = ", ".join(run.label for run in experiment.runs)
    if not attention_layers(experiment.runs[0].spec):
        return f"{labels}: the model has no layer that weights frames."
    return f"{labels}: no video was computed."
