"""Several processes of TensorFlow train one model as one process does, however they are started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acz_tensorflow.launch import LAUNCHER

from acz.backend.engines.worker_group import ProcessGroup
from acz.backend.processes import Cluster
from acz.backend.worker import Worker
from acz.foundation.processes.ports import LOOPBACK, free_port
from parity_tests.conftest import require
from parity_tests.processes_cases import MODELS, check_trainings, run_members, with_small_buckets

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def groups() -> Iterator[list[ProcessGroup]]:
    require("tensorflow")
    with ProcessGroup("tensorflow", 2, wrap=with_small_buckets) as two, ProcessGroup("tensorflow", 3) as three:
        yield [two, three]


@pytest.mark.parametrize("model", MODELS[1:2])  # its graphs take seconds to trace
def test_two_and_three_processes_train_as_one(
    model: str, groups: list[ProcessGroup], worker: Callable[[str], Worker]
) -> None:
    check_trainings("tensorflow", worker("tensorflow"), groups, model)


def test_the_commands_start_processes_that_know_their_places(tmp_path: Path) -> None:
    require("tensorflow")
    cluster = Cluster((LOOPBACK,), 2, free_port(2))
    members = run_members("tensorflow", LAUNCHER.commands(cluster, 0, "CPU", []), tmp_path)
    assert members == [[f"rank {n} of 2, by TF_CONFIG", n, 2, [2.0, 2.0**-52]] for n in range(2)]
