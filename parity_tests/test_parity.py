"""`acz parity-check`, as tests: every model, every backend, every level, one report for all of them.

ACZ_PARITY_CSV=FILE keeps its rows.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acz.backend import installed
from acz.parity.cases import cases
from acz.parity.compare import Row
from acz.parity.exports import ONNX
from acz.parity.levels import LEVELS, check
from acz.parity.report import apply_waivers, failures, read_waivers, to_table
from acz.results import write_csv
from parity_tests.conftest import BACKENDS, require

pytestmark = pytest.mark.slow


MODELS = [case for case in cases() if ":" not in case.model]
FORMS = [case for case in cases() if ":" in case.model]
"""A form has another layer or two than its model. Here it takes the levels that this changes; `acz parity-check` takes all."""
LEVELS_OF_FORMS = (1, 2, 5)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    backends = [*installed(), ONNX]
    found = check(MODELS, backends, list(LEVELS)) + check(FORMS, backends, list(LEVELS_OF_FORMS))
    found = apply_waivers(found, read_waivers(), complete=True)
    if os.environ.get("ACZ_PARITY_CSV"):
        write_csv(Path(os.environ["ACZ_PARITY_CSV"]), to_table(found, cases()))
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", [case.model for case in cases()])
def test_a_backend_is_the_same_function(model: str, backend: str, rows: list[Row]) -> None:
    require(backend)
    mine = [row for row in rows if (row.model, row.backend) == (model, backend)]
    wanted = LEVELS_OF_FORMS if ":" in model else LEVELS
    assert {row.level for row in mine} == set(wanted), "a level that was not run is not passed"
    assert not failures(mine)


@pytest.mark.parametrize("model", [case.model for case in cases()])
def test_the_onnx_file_is_the_same_function(model: str, rows: list[Row]) -> None:
    mine = [row for row in rows if (row.model, row.backend) == (model, ONNX)]
    assert len(mine) == 2, "onnxruntime and onnx's reference evaluator"
    assert not failures(mine)


def test_every_ordered_pair_of_backends_exchanged_checkpoints(rows: list[Row]) -> None:
    here = [name for name in BACKENDS if name in installed()]
    wanted = {(reader, f"checkpoint of {writer}") for reader in here for writer in here}
    for case in MODELS:
        found = {(row.backend, row.check) for row in rows if row.level == 4 and row.model == case.model and row.passed}
        assert wanted <= found


def test_no_waiver_is_left_over(rows: list[Row]) -> None:
    assert not [line for line in failures(rows) if "waiver" in line]
