"""Mistakes that the comparison missed once: draws, certain losses, evaluations, hits, own dropout, precisions, own files."""

from __future__ import annotations

import pytest

from acz.api.parity import check_parity
from acz.foundation.progress import Progress
from acz.parity.cases import cases
from acz.parity.contract.promises import PROMISES
from acz.parity.levels import base
from acz.parity.levels.base import DRAWS, has_kinks, runs_of
from acz.parity.mutants import promises
from acz.parity.mutants.promises import native_in_float32
from acz.parity.row import Row

pytestmark = pytest.mark.slow  # each runs parity-check

BY_DRAW = {"lost_in_some_draws": ("layers/moments", 2), "clipped_in_some_draws": ("layers/moments", 1)}
BY_ROW = {
    "best_of_shifted_classes": ("layers/softmax_normalize", 1),
    "hits_of_the_worst": ("layers/softmax_normalize", 3),
}
BY_PROMISE = {
    "epsilon_of_float32": {"losses", "certain_losses"},
    "reassociated_epsilon": {"losses", "certain_losses"},
    "unscaled_own_dropout": {"own_dropout"},
    "rarer_own_dropout": {"own_dropout"},
    "precision_of_the_last": {"precisions"},
}


def wrong_rows(model: str, levels: list[int], mutant: str) -> list[Row]:
    report = check_parity(model, backends=["numpy"], levels=levels, mutant=mutant, progress=Progress())
    return [row for row in report.rows if row.failed]


@pytest.mark.parametrize("mutant", BY_DRAW)
def test_a_mistake_of_some_draws_is_caught_by_several(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, level = BY_DRAW[mutant]
    wrong = wrong_rows(model, [level], mutant)
    assert any("plain 3" in row.where for row in wrong)
    monkeypatch.setattr(base, "DRAWS", 1)
    alone = [row for row in wrong_rows(model, [level], mutant) if not row.check.startswith("independence")]
    assert alone == [], "one draw misses it"


@pytest.mark.parametrize("mutant", BY_ROW)
def test_a_mistake_in_what_was_not_compared_is_caught(mutant: str) -> None:
    model, level = BY_ROW[mutant]
    wrong = wrong_rows(model, [level], mutant)
    assert wrong
    assert all("best classes" in row.where or row.check.startswith("hits of") for row in wrong), "nothing else sees it"


@pytest.mark.parametrize("mutant", BY_PROMISE)
def test_a_mistake_that_levels_1_and_2_miss_breaks_a_promise(mutant: str) -> None:
    assert {row.check for row in wrong_rows("layers/one_expert", [1, 2, 7], mutant)} == BY_PROMISE[mutant]


def test_every_mutant_is_tested() -> None:
    tested = {*BY_DRAW, *BY_ROW, *BY_PROMISE, native_in_float32.__name__}  # in tests/test_backend_check.py
    assert {mutant.__name__ for mutant in promises.MUTANTS} == tested


def test_each_backend_is_checked_once_whatever_the_models() -> None:
    report = check_parity("layers/*experts*", backends=["numpy"], levels=[7], progress=Progress())
    assert [(row.model, row.check) for row in report.rows] == [("contract", promise) for promise in PROMISES]
    assert report.passed


def test_models_with_a_kink_have_several_draws_of_one_shape() -> None:
    kinks = {case.model for case in cases("layers/*") if has_kinks(case)}
    smooth = {"layers/frozen", "layers/netvlad", "layers/net_fv", "layers/one_expert", "layers/attention_over_units"}
    assert kinks >= {
        "layers/image",
        "layers/moments",
        "layers/experts",
        "layers/softmax_normalize",
        "layers/batch_norm",
    }
    assert not kinks & smooth
    for case in cases("layers/moments"):
        runs, arrays = runs_of(case)
        shapes = {arrays[f"{run.batch}/inputs/x"].shape for run in runs if run.batch.startswith("plain")}
        assert len(shapes) == 1
        assert len([run for run in runs if run.batch.startswith("plain") and run.training]) == DRAWS
