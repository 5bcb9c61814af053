"""Waivers let a check pass within a bound of its own, with a reason, and expire."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from pathlib import Path

import pytest

from acz.foundation.errors import SpecError
from acz.parity.cases import cases
from acz.parity.report import all_passed, list_failures, summarise
from acz.parity.row import Row
from acz.parity.waivers import Waiver, apply_waivers, read_waivers

SAMPLE = """
# one framework, one cause
- backend: torch
  model: layers/attention_*
  check: outputs*
  precision: float32
  bound: 1.0e-4
  reason: its exponential is computed with fewer bits
- {backend: paddle, model: "*", check: gradients, precision: float32, bound: 1, reason: another cause}
"""
OUTPUTS = Row("layers/attention_over_units", "torch", 1, "outputs, evaluation", "float32", 2e-5, 1e-6, "output")


@pytest.fixture
def waiver(tmp_path: Path) -> Waiver:
    return read_sample(tmp_path, SAMPLE)[0]


def read_sample(folder: Path, text: str) -> list[Waiver]:
    path = folder / "waivers.yaml"
    path.write_text(text)
    return read_waivers(path)


def apply(row: Row, waiver: Waiver, complete: bool = False) -> list[Row]:
    """The rows that follow from a copy of one."""
    return apply_waivers([replace(row)], [waiver], complete)


def test_a_file_is_read(tmp_path: Path) -> None:
    first, second = read_sample(tmp_path, SAMPLE)
    reason = "its exponential is computed with fewer bits"
    assert first == Waiver("torch", "layers/attention_*", "outputs*", "float32", 1e-4, reason)
    assert (second.backend, second.bound) == ("paddle", 1.0)
    assert read_sample(tmp_path, "# none\n") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SAMPLE.replace("  reason: its exponential is computed with fewer bits\n", ""), "waiver 0.reason"),
        (SAMPLE.replace("1.0e-4", "small"), "waiver 0.bound"),
        (SAMPLE.replace("check: gradients", "checks: gradients"), "waiver 1"),
        ("backend: torch", "list"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as error:
        read_sample(tmp_path, text)
    assert "waivers.yaml" in str(error.value)


def test_a_waived_row_passes_within_the_waivers_bound(waiver: Waiver) -> None:
    assert not all_passed([OUTPUTS])
    (row,) = apply(OUTPUTS, waiver)
    assert row.passed
    assert row.waiver == waiver.reason
    assert summarise([row])[0][-1] == "ok, waived"
    assert list_failures(apply(replace(OUTPUTS, measured=2e-4), waiver)), "beyond the waiver's own bound"


@pytest.mark.parametrize(
    "other",
    [
        {"backend": "paddle"},
        {"model": "layers/batch_norm"},
        {"check": "gradients"},
        {"precision": "float64"},
        {"problem": "it died"},
    ],
)
def test_it_speaks_of_nothing_else(waiver: Waiver, other: dict[str, str]) -> None:
    (row,) = apply(replace(OUTPUTS, **other), waiver)
    assert not row.waiver
    assert row.failed


def test_it_expires_when_its_checks_pass_without_it(waiver: Waiver) -> None:
    row, expired = apply(replace(OUTPUTS, measured=1e-7), waiver)
    assert row.passed
    assert not row.waiver
    (line,) = list_failures([row, expired])
    assert "no longer needed, remove it: its exponential" in line


def test_it_expires_when_everything_ran_and_none_of_its_checks_is_left(waiver: Waiver) -> None:
    elsewhere = replace(OUTPUTS, model="layers/batch_norm", measured=1e-7)
    assert not list_failures(apply(elsewhere, waiver)), "its models were perhaps not asked for"
    assert "no longer needed" in list_failures(apply(elsewhere, waiver, complete=True))[0]
    assert not list_failures(apply(replace(elsewhere, backend="paddle"), waiver, complete=True)), "torch did not run"


def test_every_waiver_here_says_why_and_fits_a_model() -> None:
    models = [case.model for case in cases()]
    for waiver in read_waivers():
        assert len(waiver.reason) > 30
        assert fnmatch.filter(models, waiver.model), f"a waiver of no model: {waiver.model}"
