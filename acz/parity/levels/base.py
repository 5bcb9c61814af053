"""The protocol of a level, and of the comparison that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar, cast

from acz.backend.engines.worker_group import ProcessGroup
from acz.backend.protocol import Backend
from acz.backend.worker import Arguments, Job
from acz.exchange.artefacts.formats import Maker
from acz.foundation.arrays import Array, Arrays
from acz.model.losses import LOSSES
from acz.model.precision import Precision
from acz.parity import jobs
from acz.parity.answers import Answers
from acz.parity.row import Row
from acz.reference.bounds import HALF_UNIT, LOW_DRAWS, perturbed
from acz.reference.numpy_backend import ExactProducts
from acz.reference.samples import Case

Resource = TypeVar("Resource")


class Level(Protocol):
    """One kind of comparison. A level is one object in the list LEVELS."""

    number: int
    title: str
    of_models: bool
    """True for a level that compares models; False for one that checks each backend once, whatever models are chosen."""

    def rows(self, case: Case, comparison: Comparison) -> Iterator[Row]:
        """Compare every backend on one model; gives one row for each check."""


class Comparison(Protocol):
    """One check of some backends: what every level shares."""

    backends: Sequence[str]
    """The backends that have a worker."""
    formats: Mapping[str, Sequence[Maker]]
    """The formats of artefacts that each participant writes, by the participant's name."""
    answers: Answers
    folder: Path
    """The folder of checkpoints and artefacts until the check ends."""
    exact_training: bool
    """Training in float64 alone at levels 3, 4 and 6, since graphs take seconds to compile."""

    precisions: Sequence[Precision]
    """The precisions that levels 1 to 3 compare."""

    def each(
        self, case: Case, level: Level, work: Callable[[str], Iterable[Row]], names: Iterable[str] = ()
    ) -> Iterator[Row]:
        """Run `work` for each backend, or each of `names`, side by side; an exception becomes a row that failed."""

    def process_group(self, backend: str, world: int) -> ProcessGroup:
        """Processes of a backend that have joined; they are started once."""

    def share(self, key: str, make: Callable[[], AbstractContextManager[Resource]]) -> Resource:
        """A resource that is made once and closed when the check ends."""


DRAWS = 4
"""Plain batches for a model with a kink: a fault at a maximum, a clip or a comparison may show in some draws alone."""


def runs_of(case: Case) -> tuple[tuple[jobs.Run, ...], Arrays]:
    """The runs of levels 1 and 2, with their arrays: every kind of batch, in evaluation and training.

    A model with a kink has more plain batches, of the same shape, so that no graph is compiled for them.
    """
    batches = {name: case.batch(name) for name in case.names}
    batches |= {f"plain {draw + 1}": case.batch("plain", draw) for draw in range(1, DRAWS if has_kinks(case) else 1)}
    arrays = jobs.pack_parameters(case.parameters)
    for name, batch in batches.items():
        arrays |= jobs.pack(name, batch)
    modes = ("evaluation", "training")
    runs = tuple(jobs.Run(f"{name}, {mode}", name, mode == "training") for name in batches for mode in modes)
    return runs, arrays


def ask_low(
    comparison: Comparison,
    key: str,
    job: Job[Arguments, object],
    arguments: Arguments,
    arrays: Mapping[str, Array],
    draws: int = LOW_DRAWS,
) -> tuple[Arrays, list[Arrays]]:
    """The reference's answers in a low precision: the exact one, and those of the draws that move operands."""
    exact, *drawn = (
        comparison.answers.of_reference(
            f"{key}, draw {draw}", job, arguments, arrays, cast(Backend, ExactProducts(draw))
        )
        for draw in range(draws + 1)
    )
    return exact, drawn


def has_kinks(case: Case) -> bool:
    """True where a layer or the loss has a derivative that jumps."""
    return LOSSES[case.loss].has_kinks or any(placed.layer.has_kinks() for placed in case.spec.layout)


def with_perturbed(arrays: Mapping[str, Array], by: float = HALF_UNIT) -> Arrays:
    """A job's arrays with perturbed parameters."""
    return {**arrays, **jobs.pack_parameters(perturbed(jobs.group(arrays, "parameters"), by))}
