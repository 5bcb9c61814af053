"""Level 4: a checkpoint saved by one backend, loaded by another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from acz.model.precision import FULL, Precision
from acz.parity import jobs
from acz.parity.levels.base import Comparison
from acz.parity.levels.training import (
    COUPLED,
    EXACT,
    STEPS_AFTER_CHECKPOINT,
    checkpoint_path,
    train_and_save,
    training_arguments,
    training_key,
)
from acz.parity.row import Row
from acz.reference.bounds import FLOAT64, GRADIENT_ROUNDING, float32_bound, worst
from acz.reference.samples import Case

OUTPUT = {Precision.FLOAT64: FLOAT64, Precision.FLOAT32: float32_bound(0.0, GRADIENT_ROUNDING)}
"""The bound of the output after loading."""


def precisions(comparison: Comparison) -> tuple[Precision, ...]:
    """The precisions of the checkpoints: both, or those of `exact_training`."""
    return FULL[:1] if comparison.exact_training else FULL


class Checkpoints:
    """Every backend saves a checkpoint, then every one resumes each of them, its own too, and does what its writer did.

    The loaded weights and optimiser have the same bits, in both precisions. The steps after them are compared in
    float64 alone, which tells more: every graph that is compiled for them costs seconds. For the same reason the
    trainer of level 3 loads all of them, each over the state that its last steps left. In float32 a new trainer loads
    the first.
    """

    number, title = 4, "checkpoints"
    of_models = True

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Save in every backend, then load in every backend."""
        yield from comparison.each(case, self, partial(self._save, case, comparison))
        yield from comparison.each(case, self, partial(self._load, case, comparison))

    def _save(self, case: Case, comparison: Comparison, backend: str) -> Iterator[Row]:
        for precision in precisions(comparison):
            train_and_save(case, comparison, backend, precision)
        yield from ()

    def _load(self, case: Case, comparison: Comparison, backend: str) -> Iterator[Row]:
        for precision in precisions(comparison):
            wrote = {name: comparison.answers.kept(name, training_key(case, precision)) for name in comparison.backends}
            # a writer that has saved nothing has a row of its own, which says why
            writers = {name: answer for name, answer in wrote.items() if answer is not None}
            arguments, arrays = training_arguments(case, COUPLED, False, precision)
            if precision is Precision.FLOAT64:
                arguments = replace(arguments, held=True)
            else:
                arguments = replace(arguments, steps_after_checkpoint=0)
            paths = {name: checkpoint_path(case, comparison, name, precision) for name in writers}
            answer = comparison.answers.of_backend(backend, jobs.resume, jobs.ResumeArguments(arguments, paths), arrays)
            for writer, expected in writers.items():
                resumed = jobs.group(answer, writer)
                state = {name: value for name, value in expected.items() if name.startswith(("loaded/", "optimizer/"))}
                measured, bound, where = worst(resumed, state, 0.0)
                if measured <= bound:
                    after = {"output": expected["output"]}
                    if arguments.steps_after_checkpoint:
                        after["losses"] = expected["losses"][-STEPS_AFTER_CHECKPOINT:]
                    measured, bound, where = worst(resumed, after, {"output": OUTPUT[precision], "losses": EXACT})
                check = f"checkpoint of {writer}"
                yield Row(case.model, backend, self.number, check, precision.value, measured, bound, where)
