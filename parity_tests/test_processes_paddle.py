"""Several processes of PaddlePaddle train one model as one process does, however they are started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acz_paddle.launch import LAUNCHER

from acz.backend.engines.worker_group import ProcessGroup
from acz.backend.processes import Cluster
from acz.backend.worker import Worker
from acz.foundation.processes.ports import LOOPBACK, free_port
from parity_tests.conftest import require
from parity_tests.processes_cases import MODELS, check_trainings, run_members, with_small_buckets

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def groups() -> Iterator[list[ProcessGroup]]:
    require("paddle")
    with ProcessGroup("paddle", 2, wrap=with_small_buckets) as two, ProcessGroup("paddle", 3) as three:
        yield [two, three]


@pytest.mark.parametrize("model", MODELS)
def test_two_and_three_processes_train_as_one(
    model: str, groups: list[ProcessGroup], worker: Callable[[str], Worker]
) -> None:
    check_trainings("paddle", worker("paddle"), groups, model)


@pytest.mark.parametrize("hosts", [1, 2])
def test_the_commands_start_processes_that_know_their_places(hosts: int, tmp_path: Path) -> None:
    require("paddle")
    cluster = Cluster((LOOPBACK,) * hosts, 2 // hosts, free_port())
    members = run_members(
        "paddle", [c for host in range(hosts) for c in LAUNCHER.commands(cluster, host, "CPU", [])], tmp_path
    )
    local = [[0, 2], [1, 2]] if hosts == 1 else [[0, 1], [0, 1]]
    assert members == [[f"rank {n} of 2, by paddle.distributed.launch", *local[n], [2.0, 2.0**-52]] for n in range(2)]
