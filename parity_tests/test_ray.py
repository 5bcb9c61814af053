"""Commands over a Ray cluster, as typed: a node is lost in mid-epoch, and the files are those of one process."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acz.model.checkpoint import load_checkpoint
from parity_tests.conftest import require
from parity_tests.ray_cases import Nodes
from parity_tests.test_ranks import TINY, acz, require_same, start
from tests.conftest import write_features

pytestmark = pytest.mark.slow

SET = ["--set", "train.epochs=8", "--set", "train.batch_size=8", "--set", "train.checkpoint_steps=5"]
VIDEOS = 256
STEPS = VIDEOS // 8
"""Steps of an epoch."""


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes()
    try:
        made.start_head(cpus=2)
        yield made
    finally:
        made.close()
