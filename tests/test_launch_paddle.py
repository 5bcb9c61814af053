"""The place of a process of PaddlePaddle, by the variables of its launchers, and the commands that start it. Needs no framework."""

from __future__ import annotations

import pytest
from acz_paddle.launch import LAUNCHER, NAME

from acz.backend.processes import Cluster, Place
from acz.foundation.errors import SpecError

OLDER = {
    "PADDLE_TRAINER_ID": "3",
    "PADDLE_TRAINERS_NUM": "4",
    "PADDLE_TRAINER_ENDPOINTS": "10.0.0.7:6070,10.0.0.7:6071,10.0.0.8:6070,10.0.0.8:6071",
    "PADDLE_CURRENT_ENDPOINT": "10.0.0.8:6071",
    "PADDLE_RANK_IN_NODE": "1",
}
NEWER = OLDER | {
    "PADDLE_MASTER": "10.0.0.7:49152",
    "PADDLE_GLOBAL_SIZE": "4",
    "PADDLE_LOCAL_SIZE": "2",
    "PADDLE_GLOBAL_RANK": "3",
    "PADDLE_LOCAL_RANK": "1",
    "PADDLE_NNODES": "2",
}
PLACE = Place(3, 4, 1, 2, "10.0.0.7", NAME)
ONE = {"PADDLE_TRAINER_ID": "0", "PADDLE_TRAINERS_NUM": "1", "PADDLE_TRAINER_ENDPOINTS": "10.0.0.7:6070"}
SHARED_HOST = {"PADDLE_TRAINER_ENDPOINTS": "h:1,h:2,h:3,h:4", "PADDLE_CURRENT_ENDPOINT": "h:4"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        ({"PADDLE_MASTER": "10.0.0.7:49152", "RANK": "1", "WORLD_SIZE": "2"}, None),
        (ONE, None),
        (OLDER, PLACE),
        (NEWER, PLACE),
        (OLDER | SHARED_HOST, Place(3, 4, 3, 4, "h", NAME)),
        (NEWER | SHARED_HOST, Place(3, 4, 1, 2, "h", NAME)),
    ],
    ids="nothing others_variables one_process older newer one_host_by_endpoints two_launchers_of_a_host".split(),
)
def test_the_place_follows_from_what_a_launcher_sets(environment: dict[str, str], place: Place | None) -> None:
    assert LAUNCHER.find_place(environment) == place


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            {"PADDLE_TRAINER_ID": "0"},
            r"but PADDLE_TRAINERS_NUM, .*_ENDPOINTS, .*_ENDPOINT are missing; .* or unset PADDLE_TRAINER_ID$",
        ),
        (OLDER | {"PADDLE_TRAINER_ID": "4"}, r"PADDLE_TRAINER_ID=4, PADDLE_TRAINERS_NUM=4, .* contradict each other"),
        (OLDER | {"PADDLE_TRAINERS_NUM": "5"}, r"PADDLE_TRAINERS_NUM=5, .* contradict each other"),
        (OLDER | {"PADDLE_CURRENT_ENDPOINT": "10.0.0.8:6070"}, r"PADDLE_CURRENT_ENDPOINT=10.0.0.8:6070 contradict"),
        (NEWER | {"PADDLE_LOCAL_SIZE": "1"}, r"PADDLE_LOCAL_RANK=1, PADDLE_LOCAL_SIZE=1 contradict each other"),
        (OLDER | {"PADDLE_TRAINER_ID": "one"}, r"PADDLE_TRAINER_ID=one is not a number"),
    ],
)
def test_variables_that_give_no_place_are_refused_by_name(environment: dict[str, str], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        LAUNCHER.find_place(environment)


@pytest.mark.parametrize("cluster", [Cluster(("127.0.0.1",), 3, 6070), Cluster(("a", "b"), 2, 6070)])
def test_the_variables_of_a_rank_give_its_place(cluster: Cluster) -> None:
    for rank in range(cluster.world):
        place = LAUNCHER.find_place(LAUNCHER.variables(cluster, rank))
        local = rank % cluster.per_host
        assert place == Place(rank, cluster.world, local, cluster.per_host, cluster.hosts[0], NAME)


def test_the_commands_are_those_of_paddlepaddles_launcher() -> None:
    words = ["train", "youtube8m/attention_cluster"]
    one, two = Cluster(("127.0.0.1",), 4, 6070), Cluster(("gpu-a", "gpu-b"), 8, 6070)
    typed = [
        LAUNCHER.commands(one, 0, "CPU", words),
        LAUNCHER.commands(one, 0, "GPU", words),
        LAUNCHER.commands(two, 1, "GPU", words),
    ]
    assert all(command.variables == {} for commands in typed for command in commands)
    assert [" ".join(command.words) for commands in typed for command in commands] == [
        "python -m paddle.distributed.launch --nproc_per_node 4 acz train youtube8m/attention_cluster",
        "python -m paddle.distributed.launch --devices 0,1,2,3 acz train youtube8m/attention_cluster",
        "python -m paddle.distributed.launch --master gpu-a:6070 --rank 1 --nnodes 2 --devices 0,1,2,3,4,5,6,7 "
        "acz train youtube8m/attention_cluster",
    ]
