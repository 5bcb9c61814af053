"""The zoo's compact models and their forms, in every backend."""

from __future__ import annotations

from typing import ClassVar

import pytest

from acz.parity.cases import cases
from acz.reference.samples import Case
from parity_tests.parity_of_cases import ParityOfCases

pytestmark = pytest.mark.slow


class TestCompact(ParityOfCases):
    CASES: ClassVar[list[Case]] = cases("youtube8m/compact/*")
