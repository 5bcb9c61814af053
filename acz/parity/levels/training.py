"""Level 3: the losses of training steps, and the parameters after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np

from acz.backend.devices import missing_precision
from acz.foundation.arrays import Arrays
from acz.model.optimizer import Adam, AveragedAdam
from acz.model.precision import Precision
from acz.parity import jobs
from acz.parity.levels.base import Comparison, ask_low, with_perturbed
from acz.parity.row import Row
from acz.reference.bounds import DRAWN, GRADIENT_ROUNDING, MARGIN, ROUNDING, difference, worst
from acz.reference.samples import Case

STEPS = 50
STEPS_AFTER_CHECKPOINT = 5
"""The last steps, which level 4 runs from a checkpoint."""
COUPLED = Adam(learning_rate=3e-3, weight_decay=1e-3, clip_norm=0.25)
AVERAGED = ("flash_mnist/attention_cluster", "layers/batch_norm", "layers/frozen", "layers/dense_functions")
"""Models whose weights are averaged too."""
AVERAGE_DECAY = 0.9
DECOUPLED = Adam(learning_rate=3e-3, weight_decay=1e-2, decoupled=True, clip_global_norm=1.0)
PENALTIES = (3e-2, 0.0, 1e-2)
"""L2 penalties of the trained parameters, in turn."""
TRAINING_VIDEOS = 8
"""Videos in a batch.

With four, dropout can spare all videos of one unit; between batch norms, the unit's gradient is then rounding alone.
"""
EXACT = 1e-8
"""The bound in float64: fifty steps magnify rounding."""


class Training:
    """The loss and the hits of each of 50 steps and the parameters after them, with the same batches and the same masks.

    Both forms of weight decay and both of clipping take part, and an L2 penalty of some parameters. One model has frozen
    parameters and statistics. In the coupled form
    no batch has a mask of frames; in the decoupled form each has one. So each form needs a single compiled graph.
    """

    number, title = 3, "training"
    of_models = True

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Compare both forms; `exact_training` leaves out float32."""
        return comparison.each(case, self, partial(self._compare, case, comparison))

    def _compare(self, case: Case, comparison: Comparison, backend: str) -> Iterator[Row]:
        for adam in (COUPLED, DECOUPLED):
            form = "decoupled" if adam.decoupled else "L2"
            wide, arrays = training_arguments(case, adam, adam.decoupled, Precision.FLOAT64)
            exact = comparison.answers.of_reference(f"{case.model} {form}", jobs.training, wide, arrays)
            for precision in comparison.precisions:
                if comparison.exact_training and precision is not Precision.FLOAT64:
                    continue
                if missing := missing_precision(backend, precision):
                    check = f"{self.title}, {form}"
                    yield Row(case.model, backend, self.number, check, precision.value, missing=missing)
                    continue
                arguments = replace(wide, precision=precision)
                if adam.decoupled or precision.is_low:
                    trained = comparison.answers.of_backend(backend, jobs.training, arguments, arrays)
                else:
                    trained = train_and_save(case, comparison, backend, precision)
                parameters = jobs.group(trained, "parameters")
                right = exact
                if precision.is_low:
                    key = f"{case.model} {form} {precision.value}"
                    right, drawn = ask_low(comparison, key, jobs.training, arguments, arrays)
                expected = jobs.group(right, "parameters")
                losses = difference(trained["losses"], right["losses"])
                bounds = EXACT, EXACT
                if precision.is_low:
                    bounds = drift_bounds(right, drawn, DRAWN, GRADIENT_ROUNDING)
                elif precision is not Precision.FLOAT64:
                    # steps magnify rounding, so one rounded training may be near by chance; then a second one is run
                    rounded: list[Arrays] = []
                    for start, fed in {"": arrays, " perturbed": with_perturbed(arrays, ROUNDING)}.items():
                        key = f"{case.model} {form} {precision.value}{start}"
                        rounded.append(comparison.answers.of_reference(key, jobs.training, arguments, fed))
                        bounds = drift_bounds(exact, rounded)
                        if losses <= bounds[0] and worst(parameters, expected, bounds[1])[0] <= bounds[1]:
                            break
                row = partial(Row, case.model, backend, self.number)
                if scales := {name: value for name, value in right.items() if name.startswith("scale/")}:
                    yield row(f"loss scale after, {form}", precision.value, *worst(trained, scales, 0.0))
                yield row(f"losses of {STEPS} steps, {form}", precision.value, losses, bounds[0])
                if precision is Precision.FLOAT64:  # a rounded step may take the second of two nearly equal classes
                    hits = float(np.abs(trained["hits"] - exact["hits"]).max())
                    yield row(f"hits of {STEPS} steps, {form}", precision.value, hits, 0.0)
                yield row(f"parameters after, {form}", precision.value, *worst(parameters, expected, bounds[1]))


def training_arguments(
    case: Case, adam: Adam, padded: bool, precision: Precision, steps: int = STEPS
) -> tuple[jobs.TrainingArguments, Arrays]:
    """A job's arguments and batches.

    Args:
        padded: give each batch a mask of frames; every third batch then has padded frames.
    """
    arrays = jobs.pack_parameters(case.parameters)
    for step in range(steps):
        kind = "padded" if padded and "padded" in case.names and step % 3 == 2 else "plain"
        batch = case.batch(kind, step, TRAINING_VIDEOS)
        arrays |= jobs.pack(f"step{step}", batch.masked(case.spec) if padded else batch)
    penalties = {path: factor for path, factor in zip(case.spec.trained, cycle(PENALTIES), strict=False) if factor}
    rates = tuple(adam.learning_rate * (0.5 + 0.5 * float(np.cos(step / steps))) for step in range(steps))
    penalised = adam.model_copy(update={"l2_penalty": penalties})
    if case.model in AVERAGED:
        penalised = AveragedAdam(**penalised.model_dump(), average=AVERAGE_DECAY)
    arguments = jobs.TrainingArguments(case.spec, precision, case.loss, penalised, rates, STEPS_AFTER_CHECKPOINT)
    return replace(arguments, frozen=case.frozen), arrays


def train_and_save(case: Case, comparison: Comparison, backend: str, precision: Precision) -> Arrays:
    """A training in the coupled form, run once.

    Level 3 compares it with the reference's; level 4 resumes its checkpoint.
    """
    arguments, arrays = training_arguments(case, COUPLED, False, precision)
    saving = replace(
        arguments, path=checkpoint_path(case, comparison, backend, precision), held=precision is Precision.FLOAT64
    )
    return comparison.answers.of_backend(backend, jobs.training, saving, arrays, training_key(case, precision))


def training_key(case: Case, precision: Precision) -> str:
    """The key of that training's answer."""
    return f"{case.model} L2 {precision.value}"


def checkpoint_path(case: Case, comparison: Comparison, backend: str, precision: Precision) -> Path:
    """The checkpoint that it saves."""
    return comparison.folder / f"{case.model.replace('/', '-')}-{backend}-{precision.value}.safetensors"


def drift_bounds(
    exact: Arrays, rounded: list[Arrays], margin: float = MARGIN, least: float = ROUNDING
) -> tuple[float, float]:
    """The bounds of the losses and of the parameters, from the reference's own trainings in float32, or from draws.

    The parameters of a model drift together, so the one that drifts most sets the bound of all.
    """
    losses = max(difference(training["losses"], exact["losses"]) for training in rounded)
    drifts = [
        difference(training[name], value)
        for training in rounded
        for name, value in exact.items()
        if name.startswith("parameters/")
    ]
    return margin * max(losses, least), margin * max(*drifts, least)
