"""The small models of layers.yaml, in every backend at every level."""

from __future__ import annotations

from typing import ClassVar

import pytest

from acz.parity.cases import cases
from acz.reference.samples import Case
from parity_tests.parity_of_cases import ParityOfCases

pytestmark = pytest.mark.slow


class TestLayers(ParityOfCases):
    CASES: ClassVar[list[Case]] = [case for case in cases() if case.model.startswith("layers/")]
    EXACT_TRAINING = False
