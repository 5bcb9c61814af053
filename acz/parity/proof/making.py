"""The making of a record: the reference's answers in float64, and bounds from what rounding does to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from acz.foundation.arrays import Array, Arrays
from acz.foundation.errors import CheckFailed
from acz.foundation.progress import Progress
from acz.foundation.version import __version__
from acz.model.precision import Precision
from acz.model.proof import weights_hash
from acz.parity.levels.gradients import LEAST_SHARE
from acz.parity.proof.directions import SECOND, directions
from acz.parity.proof.record import MODES, Manifest, NumberAnswer, Record, RunAnswers, ValueAnswer, statistics
from acz.parity.proof.reference import Pass, parts, stride
from acz.parity.proof.subject import Subject
from acz.reference.bounds import GRADIENT_ROUNDING, ROUNDING, difference, float32_bound, perturbed

VARIANTS = ("exact", "narrow", "perturbed")
"""The reference in float64, in float32, and in float64 with parameters half a unit of float32 away."""


@dataclass
class Answer:
    """The answers of one variant of a run."""

    values: Arrays
    shapes: dict[str, tuple[int, ...]]
    scales: dict[str, float]
    loss: float
    derivatives: dict[str, float] = field(default_factory=dict)


def make_record(subject: Subject, shown: Progress) -> Record:
    """Compute the reference's answers to all batches of a subject in both modes, one variant after the other.

    Raises:
        CheckFailed: the reference is not finite, so that there is nothing to compare with.
    """
    spec = subject.spec
    runs = [(name, mode) for name in subject.batches for mode in MODES if name != "part" or MODES[mode]]
    total, done = len(VARIANTS) * sum(_runs(subject, name, mode) for name, mode in runs), 0
    several: dict[tuple[str, str], list[Answer]] = {run: [] for run in runs}
    for variant in VARIANTS:
        parameters = _parameters(subject.parameters, variant)

        def advance(variant: str = variant) -> None:
            nonlocal done
            done += 1
            shown("the reference", done, total, f"{variant}, {subject.model}")

        for name, mode in runs:
            with np.errstate(all="ignore"):
                one = Pass(spec, parameters, subject.batches[name], MODES[mode], subject.loss, advance)
                several[name, mode].append(_answer(one, _directions_of(subject, name, mode)))
    exact = {run: answers[0] for run, answers in several.items()}
    manifest = Manifest(
        acz=__version__,
        model=subject.model,
        spec=spec.to_dict(),
        weights=weights_hash(subject.parameters),
        data=subject.data,
        loss=subject.loss,
        runs=tuple(_run_answers(name, mode, answers) for (name, mode), answers in several.items()),
    )
    answers = {f"{name}, {mode}/{key}": v for (name, mode), answer in exact.items() for key, v in answer.values.items()}
    return Record(manifest, spec, subject.parameters, subject.batches, answers)


def _runs(subject: Subject, name: str, mode: str) -> int:
    """The number of times that a run of a variant runs the model."""
    spec, batch = subject.spec, subject.batches[name]
    chosen = _directions_of(subject, name, mode)
    return len(parts(spec, MODES[mode], len(batch.labels))) * (1 + len(chosen))


def _directions_of(subject: Subject, name: str, mode: str) -> dict[str, tuple[str, ...]]:
    """The directions of a run: none in evaluation, and none of a batch of which a part has them."""
    return {} if mode == "evaluation" or (name == "data" and "part" in subject.batches) else directions(subject.spec)


def _parameters(stored: Mapping[str, Array], variant: str) -> Arrays:
    dtype = np.float32 if variant == "narrow" else np.float64
    parameters = {path: np.asarray(value, dtype) for path, value in stored.items()}
    return perturbed(parameters) if variant == "perturbed" else parameters


def _answer(one: Pass, chosen: Mapping[str, tuple[str, ...]]) -> Answer:
    values = {name: one.values[name] for name in (*one.spec.recordable, "logits", "output")}
    if one.training:
        values |= {name: one.updated[name.removeprefix("updated.")] for name in statistics(one.spec)}
    kept = {name: value.reshape(-1)[:: stride(value.shape)].astype(np.float64) for name, value in values.items()}
    scales = {name: float(np.abs(value).max(initial=0.0)) or 1.0 for name, value in values.items()}
    shapes = {name: value.shape for name, value in values.items()}
    derivatives = {name: one.derivative(name, paths) for name, paths in chosen.items()}
    return Answer(kept, shapes, scales, one.loss_value(), derivatives)


def _run_answers(batch: str, mode: str, answers: list[Answer]) -> RunAnswers:
    exact, rounded = answers[0], answers[1:]
    values = {}
    for name, value in exact.values.items():
        own = max(difference(other.values[name], value, exact.scales[name]) for other in rounded)
        values[name] = ValueAnswer(
            shape=exact.shapes[name], scale=_finite(exact.scales[name], name), bound=_finite(float32_bound(own), name)
        )
    size = abs(exact.loss) or 1.0
    own = max(abs(other.loss - exact.loss) for other in rounded) / size
    loss = NumberAnswer(
        value=_finite(exact.loss, "the loss"), scales=(size, size), bound=_finite(float32_bound(own), "the loss")
    )
    return RunAnswers(batch=batch, mode=mode, values=values, loss=loss, directions=_directions(exact, rounded))


def _directions(exact: Answer, rounded: list[Answer]) -> dict[str, NumberAnswer]:
    """Derivatives: scales and the bound of all follow the rule of level 2's gradients."""
    largest = max((abs(value) for value in exact.derivatives.values()), default=0.0)
    scales = {}
    for name in exact.derivatives:
        first = name.removesuffix(SECOND)
        size = max(abs(exact.derivatives[draw]) for draw in (first, first + SECOND))
        scales[name] = tuple(
            max(size, LEAST_SHARE[precision] * largest) or 1.0 for precision in (Precision.FLOAT64, Precision.FLOAT32)
        )
    own = [
        abs(other.derivatives[name] - value) / scales[name][1]
        for other in rounded
        for name, value in exact.derivatives.items()
    ]
    bound = float32_bound(max(own, default=ROUNDING), GRADIENT_ROUNDING)
    return {
        name: NumberAnswer(
            value=_finite(value, name), scales=(scales[name][0], scales[name][1]), bound=_finite(bound, name)
        )
        for name, value in exact.derivatives.items()
    }


def _finite(number: float, name: str) -> float:
    if not np.isfinite(number):
        raise CheckFailed(
            f"the reference's {name} is not finite, so there is nothing to compare with; check the weights"
        )
    return number
