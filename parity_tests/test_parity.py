"""The zoo's other models, in every backend at every level.

The gated models have the layers of the compact ones and of layers.yaml. Here they are golden fixtures and converted
checkpoints; `acz parity-check 'youtube8m/gated/*'` takes them at every level.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from acz.parity.cases import cases
from acz.reference.samples import Case
from parity_tests.parity_of_cases import ParityOfCases

pytestmark = pytest.mark.slow


class TestZoo(ParityOfCases):
    CASES: ClassVar[list[Case]] = [
        case for case in cases() if not case.model.startswith(("layers/", "youtube8m/compact/", "youtube8m/gated/"))
    ]
