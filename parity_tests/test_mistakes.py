"""The comparison, run on backends that are wrong in one way each: it catches every mistake, in every backend."""

from __future__ import annotations

import pytest

from acz.api.parity import check_parity
from acz.foundation.progress import Progress
from parity_tests.conftest import BACKENDS, require

pytestmark = pytest.mark.slow


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
def test_mistakes_are_caught_in_every_backend(mutant: str, level: int, backend: str) -> None:
    require(backend)
    report = check_parity("layers/batch_norm", backends=[backend], levels=[level], mutant=mutant, progress=Progress())
    wrong = [row for row in report.rows if not row.passed]
    assert wrong
    assert not [row for row in wrong if row.problem], "caught by its numbers, not by a crash"
