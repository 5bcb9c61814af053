"""The page on scale: its formulas give the measured figures that they were not made from."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from scale import DEVICES, LINKS, Measured, gradients, measured, reduction, row_of, sent

from acz.zoo.config import load_spec

RESULTS = Path(__file__).parent.parent / "docs/results"


@pytest.fixture(scope="module")
def figures() -> Measured:
    return measured(RESULTS)


def test_the_line_through_two_steps_gives_a_third_one(figures: Measured) -> None:
    assert figures.compute(1) == pytest.approx(figures.few)
    assert figures.compute(256) == pytest.approx(figures.step)
    assert figures.compute(128) == pytest.approx(figures.half, rel=0.05)


def test_a_ring_of_two_sends_the_bytes_that_were_measured(figures: Measured) -> None:
    assert gradients() == 4 * load_spec("youtube8m/attention_cluster").parameter_count
    assert 2 * sent(2, gradients()) == pytest.approx(figures.carried, rel=0.01)
    assert sent(1, gradients()) == 0


def test_more_hosts_send_longer_and_a_quicker_link_less_long() -> None:
    slow, quick = LINKS.values()
    for few, many in pairwise(DEVICES):
        assert reduction(few, slow) < reduction(many, slow)
        assert reduction(many, quick) < reduction(many, slow)
    assert reduction(DEVICES[0], slow) == reduction(DEVICES[0], quick), "one host uses no link"


def test_an_uneven_part_is_as_slow_as_the_largest(figures: Measured) -> None:
    cells = row_of(figures, "cores", 1.0, 64, 65, next(iter(LINKS)))
    assert cells[3] == "2"
