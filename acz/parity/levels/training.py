"""Level 3: the losses of training steps, and the parameters after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np

from acz.foundation.arrays import Arrays
from acz.model.optimizer import Adam
from acz.parity import jobs
from acz.parity.answers import Reference
from acz.parity.levels.base import Ask, with_perturbed
from acz.parity.row import Row
from acz.reference.bounds import ROUNDING, difference, float32_bound, worst
from acz.reference.samples import Case

STEPS = 50


COUPLED = Adam(learning_rate=3e-3, weight_decay=1e-3, clip_norm=0.25)


DECOUPLED = Adam(learning_rate=3e-3, weight_decay=1e-2, decoupled=True, clip_global_norm=1.0)


PENALTIES = (3e-2, 0.0, 1e-2)
"""Of the trained parameters in turn."""


TRAINING_VIDEOS = 8
"""In a batch: of four it happens that dropout spares all of one unit, and between batch norms the gradient of that is rounding alone."""


STEPS_AFTER_CHECKPOINT = 5
"""Of the steps, those after a checkpoint."""


def training_arguments(
    case: Case, adam: Adam, padded: bool, dtype: str, steps: int = STEPS
) -> tuple[jobs.TrainingArguments, Arrays]:
    """A job's arguments and batches: without masks or, if `padded`, each with one; every third batch has padded frames then."""
    arrays = jobs.pack_parameters(case.parameters)
    for step in range(steps):
        kind = "padded" if padded and "padded" in case.names and step % 3 == 2 else "plain"
        batch = case.batch(kind, step, TRAINING_VIDEOS)
        arrays |= jobs.pack(f"step{step}", batch.masked(case.spec) if padded else batch)
    penalties = {path: factor for path, factor in zip(case.spec.trained, cycle(PENALTIES), strict=False) if factor}
    rates = tuple(adam.learning_rate * (0.5 + 0.5 * float(np.cos(step / steps))) for step in range(steps))
    penalised = adam.model_copy(update={"l2_penalty": penalties})
    return jobs.TrainingArguments(case.spec, dtype, case.loss, penalised, rates, STEPS_AFTER_CHECKPOINT), arrays


class Trainings:
    """Trainings in the L2 form, each run once: level 3 compares it with the reference's, level 4 goes on from what it has saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[tuple[str, str, str], Arrays] = {}

    def path(self, case: Case, writer: str, dtype: str) -> Path:
        return self.folder / f"{case.model.replace('/', '-')}-{writer}-{dtype}.safetensors"

    def __call__(self, case: Case, backend: str, ask: Ask, dtype: str) -> Arrays:
        key = case.model, backend, dtype
        if key not in self.known:
            arguments, arrays = training_arguments(case, COUPLED, False, dtype)
            arguments = replace(arguments, path=self.path(case, backend, dtype))
            self.known[key] = ask(jobs.training, arguments, arrays)
        return self.known[key]


def training(
    case: Case, backend: str, ask: Ask, reference: Reference, trainings: Trainings, skip_slow_precision: bool = False
) -> Iterator[Row]:
    """Level 3: the loss of each of 50 steps and the parameters after them, same batches, same masks.

    Both forms of weight decay and both of clipping take part, and an L2 penalty of some parameters. In one form no batch has a mask
    of frames, in the other each has one: every graph that is compiled for them costs seconds. `skip_slow_precision` leaves float32 out of the second.
    """
    for adam in (COUPLED, DECOUPLED):
        form = "decoupled" if adam.decoupled else "L2"
        wide, arrays = training_arguments(case, adam, adam.decoupled, "float64")
        exact = reference(f"{case.model} {form}", jobs.training, wide, arrays)
        after = jobs.group(exact, "parameters")
        for dtype in ("float64",) if skip_slow_precision and adam.decoupled else ("float64", "float32"):
            arguments = replace(wide, dtype=dtype)
            found = ask(jobs.training, arguments, arrays) if adam.decoupled else trainings(case, backend, ask, dtype)
            losses, left = difference(found["losses"], exact["losses"]), jobs.group(found, "parameters")
            bounds = 1e-8, 1e-8
            if dtype == "float32":
                # where steps magnify rounding, one float32 training may be near by chance: then a second, from the numbers beside
                starts, others = {"": arrays, " beside": with_perturbed(arrays, ROUNDING)}, []
                for start, given in starts.items():
                    key = f"{case.model} {form} float32{start}"
                    others.append(reference(key, jobs.training, arguments, given))
                    bounds = _training_bounds(exact, others)
                    if losses <= bounds[0] and worst(left, after, bounds[1])[0] <= bounds[1]:
                        break
            yield Row(case.model, backend, 3, f"losses of {STEPS} steps, {form}", dtype, losses, bounds[0])
            measured, bound, where = worst(left, after, bounds[1])
            yield Row(case.model, backend, 3, f"parameters after, {form}", dtype, measured, bound, where)


def _training_bounds(exact: Arrays, others: list[Arrays]) -> tuple[float, float]:
    """Of the losses, and of the parameters: those of one model drift together, so the worst sets the bound of each."""
    losses = max(difference(other["losses"], exact["losses"]) for other in others)
    drifts = [
        difference(other[name], value)
        for other in others
        for name, value in exact.items()
        if name.startswith("parameters/")
    ]
    return float32_bound(losses), float32_bound(max(drifts))
