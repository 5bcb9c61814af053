"""A model at its published size in a framework; `acz parity-check MODEL --videos 64` has the other frameworks."""

from __future__ import annotations

import pytest

from acz.api.parity import check_parity
from acz.foundation.progress import Progress
from parity_tests.conftest import require

pytestmark = pytest.mark.slow


def test_a_model_of_three_million_parameters_is_proved() -> None:
    require("torch")
    report = check_parity("flash_mnist/attention_cluster", backends=["torch"], videos=8, progress=Progress())
    assert report.passed, report.failures
    assert {row.level for row in report.rows} == {1, 2, 3}
    assert not [row for row in report.rows if row.missing]
