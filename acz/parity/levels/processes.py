"""Level 6: several processes train one model together, as one process does with the whole batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from acz.backend.engines.worker_group import ProcessGroup
from acz.backend.registry import find_info
from acz.foundation.arrays import Array, Arrays
from acz.model.precision import FULL, Precision
from acz.parity import jobs
from acz.parity.levels.base import Comparison, with_perturbed
from acz.parity.levels.training import COUPLED, DECOUPLED, drift_bounds, training_arguments
from acz.parity.row import Row
from acz.reference.bounds import ROUNDING, difference, worst
from acz.reference.samples import Case

STEPS = 20
EXACT = 1e-10
"""The bound in float64."""
WORLDS = (2, 3)
"""Numbers of processes. Eight videos make even parts of two processes, and uneven ones of three."""
IN_THREES = ("flash_mnist/attention_cluster", "layers/batch_norm", "layers/dropout", "layers/frozen")
"""Models that three processes train too."""


class Processes:
    """The losses, parameters and statistics of 20 steps, which two processes share, and for some models three.

    Both forms of weight decay and both of clipping take part, L2 penalties, dropout, and padded frames, so that processes
    have different numbers of valid ones. All processes must have the same bits.
    """

    number, title = 6, "processes"
    of_models = True

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Compare both forms; `exact_training` leaves out float32."""
        return comparison.each(case, self, partial(self._compare, case, comparison))

    def _compare(self, case: Case, comparison: Comparison, backend: str) -> Iterator[Row]:
        if find_info(backend).launcher is None:
            yield Row(case.model, backend, self.number, self.title, missing=f"{backend} works in one process")
            return
        for adam in (COUPLED, DECOUPLED):
            form = "decoupled" if adam.decoupled else "L2"
            wide, arrays = training_arguments(case, adam, adam.decoupled, Precision.FLOAT64, STEPS)
            exact = comparison.answers.of_reference(f"{case.model} {form} {STEPS}", jobs.training, wide, arrays)
            for precision in FULL:
                if comparison.exact_training and precision is not Precision.FLOAT64:
                    continue
                arguments = replace(wide, precision=precision)
                for world in WORLDS if case.model in IN_THREES else WORLDS[:1]:
                    ranks = train_together(comparison.process_group(backend, world), arguments, arrays)
                    bounds = self._bounds(case, comparison, form, arguments, arrays, exact)
                    row = partial(Row, case.model, backend, self.number)
                    name = f"{form}, {world} processes"
                    losses = difference(ranks[0]["losses"], exact["losses"])
                    yield row(f"losses of {STEPS} steps, {name}", precision.value, losses, bounds[0])
                    ends = jobs.group(ranks[0], "parameters"), jobs.group(exact, "parameters")
                    yield row(f"parameters after, {name}", precision.value, *worst(*ends, bounds[1]))
                    yield row(f"all ranks alike, {name}", precision.value, _spread(ranks), 0.0)

    def _bounds(
        self,
        case: Case,
        comparison: Comparison,
        form: str,
        arguments: jobs.TrainingArguments,
        arrays: Arrays,
        exact: Arrays,
    ) -> tuple[float, float]:
        if arguments.precision is Precision.FLOAT64:
            return EXACT, EXACT
        key = f"{case.model} {form} {STEPS} {arguments.precision.value}"
        rounded = [
            comparison.answers.of_reference(f"{key}{start}", jobs.training, arguments, fed)
            for start, fed in {"": arrays, " perturbed": with_perturbed(arrays, ROUNDING)}.items()
        ]
        return drift_bounds(exact, rounded)


def train_together(group: ProcessGroup, training: jobs.TrainingArguments, arrays: Mapping[str, Array]) -> list[Arrays]:
    """Train on whole batches, of which each rank takes its part. Returns the answer of each rank, as `jobs.training` does."""
    parts = [jobs.SharedTraining(training, place) for place in group.places]
    return [answer for _, answer in group.run(jobs.share_training, parts, arrays)]


def _spread(ranks: list[Arrays]) -> float:
    """The largest difference of any rank from the first."""
    return max(
        float(np.max(np.abs(rank[name] - value), initial=0.0)) for rank in ranks[1:] for name, value in ranks[0].items()
    )
