"""The comparison, run on backends that are wrong in one way each: it catches every mistake, in every backend."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from acz.api.parity import open_participants
from acz.backend.registry import installed
from acz.backend.worker import Worker
from acz.parity.cases import cases
from acz.parity.comparison import compare_backends
from acz.parity.mutants import MUTANTS
from acz.parity.row import Row
from parity_tests.conftest import BACKENDS, require

pytestmark = pytest.mark.slow

RowsOfMistake = Callable[[str, int], list[Row]]


@pytest.fixture(scope="module")
def rows(worker: Callable[[str], Worker]) -> RowsOfMistake:
    """The rows of a level with a mistake in every backend. Each is compared once, in the workers of all tests."""
    workers = {name: worker(name) for name in BACKENDS if name in installed()}

    @functools.cache
    def compare(mutant: str, level: int) -> list[Row]:
        for running in workers.values():
            running.wrap = MUTANTS[mutant]
        try:
            participants = open_participants(list(workers), [level])
            return compare_backends(cases("layers/batch_norm"), participants, [level], workers=workers)
        finally:
            for running in workers.values():
                running.wrap = None

    return compare


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("mutant", "level"),
    [
        ("softmax_over_wrong_axis", 1),
        ("transposed_weight", 1),
        ("flipped_momentum", 1),
        ("wrong_gradient", 2),
        ("other_weight_decay", 3),
        ("exchanged_clipping", 3),
        ("transposed_weight", 5),
    ],
)
def test_mistakes_are_caught_in_every_backend(mutant: str, level: int, backend: str, rows: RowsOfMistake) -> None:
    require(backend)
    wrong = [row for row in rows(mutant, level) if row.backend == backend and not row.passed]
    assert wrong
    assert not [row for row in wrong if row.problem], "caught by its numbers, not by a crash"
