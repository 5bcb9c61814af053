"""`acz parity-check` as tests of a class of cases: every model, every backend, every level, one report for all.

ACZ_PARITY_CSV=FOLDER keeps the rows of each class.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pytest

from acz.api.parity import open_participants
from acz.backend.registry import installed
from acz.backend.versions import environment
from acz.exchange.artefacts.formats import ONNX
from acz.foundation.files.tables import write_csv
from acz.parity.comparison import compare_backends
from acz.parity.report import list_failures, to_table
from acz.parity.row import Row
from acz.parity.waivers import apply_waivers, read_waivers
from acz.reference.samples import Case
from parity_tests.conftest import BACKENDS, require

LEVELS = (1, 2, 3, 4, 5)
"""Levels of models in one process. Level 7, of backends, is run by test_backends.py."""
LEVELS_OF_FORMS = (1, 2, 5)
"""A form differs from its model in one or two layers.

Here it takes the levels that this changes; `acz parity-check` takes all.
"""


def is_form(case: Case) -> bool:
    return ":" in case.model


class ParityOfCases:
    """A subclass in a file of its own runs beside the others. `case` is each of CASES (parity_tests/conftest.py)."""

    CASES: ClassVar[list[Case]]
    EXACT_TRAINING = True
    """Training in float64 alone. The small models of every layer setting train in float32 too."""

    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls) -> list[Row]:
        participants = open_participants([*(name for name in BACKENDS if name in installed()), ONNX])
        models, forms = ([case for case in cls.CASES if is_form(case) is form] for form in (False, True))
        checked = [
            *compare_backends(models, participants, LEVELS, exact_training=cls.EXACT_TRAINING),
            *compare_backends(forms, participants, LEVELS_OF_FORMS),
        ]
        checked = apply_waivers(checked, read_waivers())
        if os.environ.get("ACZ_PARITY_CSV"):
            write_csv(
                Path(os.environ["ACZ_PARITY_CSV"]) / f"{cls.__name__}.csv", to_table(checked, cls.CASES, environment())
            )
        return checked

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_a_backend_is_the_same_function(self, case: Case, backend: str, rows: list[Row]) -> None:
        require(backend)
        mine = [row for row in rows if (row.model, row.backend) == (case.model, backend)]
        wanted = LEVELS_OF_FORMS if is_form(case) else LEVELS
        assert {row.level for row in mine} == set(wanted), "a level that was not run is not passed"
        assert not list_failures(mine)

    def test_the_onnx_file_is_the_same_function(self, case: Case, rows: list[Row]) -> None:
        mine = [row for row in rows if (row.model, row.backend) == (case.model, ONNX)]
        assert len(mine) == 2, "onnxruntime and onnx's reference evaluator"
        assert not list_failures(mine)

    def test_every_ordered_pair_of_backends_exchanged_checkpoints(self, rows: list[Row]) -> None:
        here = [name for name in BACKENDS if name in installed()]
        wanted = {(reader, f"checkpoint of {writer}") for reader in here for writer in here}
        for case in self.CASES:
            mine = [row for row in rows if row.level == 4 and row.model == case.model and row.passed]
            assert is_form(case) or wanted <= {(row.backend, row.check) for row in mine}

    def test_no_waiver_is_left_over(self, rows: list[Row]) -> None:
        assert not [line for line in list_failures(rows) if "waiver" in line]
