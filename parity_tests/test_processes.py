"""Several processes of a backend compute what one does, and every known mistake in sharing a training is caught."""

from __future__ import annotations

import pytest

from acz.api.parity import check_parity
from acz.foundation.progress import Progress
from acz.parity.mutants.processes import PROCESS_MUTANTS
from parity_tests.conftest import BACKENDS, require

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        *(("layers/batch_norm", backend) for backend in BACKENDS),
        *(("flash_mnist/attention_cluster", backend) for backend in BACKENDS if backend != "mindspore"),
    ],
)  # MindSpore compiles for minutes; `acz parity-check --level 6` has all models
def test_processes_share_a_training_as_one_does_it(model: str, backend: str) -> None:
    require(backend)
    report = check_parity(model, backends=[backend], levels=[6], progress=Progress())
    checks = {(row.check.split(", ")[0], row.check.split(", ")[2], row.precision) for row in report.rows}
    wanted = {"losses of 20 steps", "parameters after", "all ranks alike"}
    assert checks == {
        (check, f"{world} processes", precision)
        for check in wanted
        for world in (2, 3)
        for precision in ("float64", "float32")
    }
    assert not report.failures


CAUGHT_BY = dict.fromkeys(PROCESS_MUTANTS, "layers/batch_norm") | {
    "dropout_drawn_per_rank": "flash_mnist/attention_cluster",
    "clipping_before_reduction": "flash_mnist/attention_cluster",
}


@pytest.mark.parametrize("mutant", PROCESS_MUTANTS)
def test_a_mistake_in_sharing_is_caught(mutant: str) -> None:
    require("torch")
    report = check_parity(CAUGHT_BY[mutant], backends=["torch"], levels=[6], mutant=mutant, progress=Progress())
    wrong = [row for row in report.rows if not row.passed]
    assert wrong
    assert not [row for row in wrong if row.problem], "caught by its numbers, not by a crash"
    assert {row.precision for row in wrong} == {"float64", "float32"}
