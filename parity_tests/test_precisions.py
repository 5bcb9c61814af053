"""Low precisions in every backend: a few models and layers; `acz parity-check --precision bfloat16` takes all."""

from __future__ import annotations

import pytest

from acz.api.parity import open_participants
from acz.backend.devices import missing_precision
from acz.model.precision import Precision
from acz.parity.cases import cases
from acz.parity.comparison import compare_backends
from acz.parity.report import list_failures
from parity_tests.conftest import BACKENDS, require

pytestmark = pytest.mark.slow

LOW = (Precision.BFLOAT16, Precision.FLOAT16, Precision.TF32)
MODELS = ("layers/net_fv", "layers/context_gating", "flash_mnist/extractor", "flash_mnist/attention_cluster_hidden")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_low_precision_is_the_same_function(backend: str) -> None:
    require(backend)
    chosen = [case for name in MODELS for case in cases(name)]
    rows = compare_backends(chosen, open_participants([backend]), [1, 2], precisions=LOW)
    trained = compare_backends(cases("layers/batch_norm"), open_participants([backend]), [3], precisions=LOW[1:2])
    assert not list_failures([*rows, *trained])
    here = {low.value for low in LOW if not missing_precision(backend, low)}
    assert {row.precision for row in rows if not row.missing} == here
    assert here >= {"float16"}
