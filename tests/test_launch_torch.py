"""The place of a process of PyTorch, by the variables of its launchers, and the commands that start it. Needs no framework."""

from __future__ import annotations

import pytest
from acz_torch.launch import LAUNCHER

from acz.backend.processes import Cluster, Place
from acz.foundation.errors import SpecError

BY_HAND = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "29500"}
TORCHRUN = BY_HAND | {
    "RANK": "9",
    "WORLD_SIZE": "16",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "8",
    "GROUP_RANK": "1",
    "GROUP_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "2",
}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        ({"PATH": "/bin", "MASTER_ADDR": "10.0.0.7", "OMP_NUM_THREADS": "1"}, None),
        (TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}, None),
        (TORCHRUN, Place(9, 16, 1, 8, "10.0.0.7", "torchrun")),
        (BY_HAND, Place(1, 2, 0, 1, "10.0.0.7", "RANK and WORLD_SIZE")),
        (BY_HAND | {"MASTER_ADDR": "localhost"}, Place(1, 2, 1, 2, "localhost", "RANK and WORLD_SIZE")),
        (BY_HAND | {"LOCAL_RANK": "1"}, Place(1, 2, 1, 2, "10.0.0.7", "RANK and WORLD_SIZE")),
    ],
    ids="nothing address_alone one_process torchrun one_a_host by_hand_here local_rank_alone".split(),
)
def test_the_place_follows_from_what_a_launcher_sets(environment: dict[str, str], place: Place | None) -> None:
    assert LAUNCHER.find_place(environment) == place


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            {"RANK": "0"},
            r"RANK set.* but WORLD_SIZE, MASTER_ADDR, MASTER_PORT are missing; .* torchrun, or unset RANK$",
        ),
        ({**BY_HAND, "RANK": "2"}, r"RANK=2, WORLD_SIZE=2 contradict each other; start the processes with torchrun"),
        (TORCHRUN | {"LOCAL_RANK": "8"}, r"LOCAL_RANK=8, LOCAL_WORLD_SIZE=8 contradict each other"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "32"}, r"LOCAL_WORLD_SIZE=32 contradict each other"),
        (TORCHRUN | {"WORLD_SIZE": "two"}, r"WORLD_SIZE=two is not a number; .* or unset WORLD_SIZE"),
        (TORCHRUN | {"RANK": "-1"}, r"RANK=-1 is not a number"),
    ],
)
def test_variables_that_give_no_place_are_refused_by_name(environment: dict[str, str], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        LAUNCHER.find_place(environment)


@pytest.mark.parametrize("cluster", [Cluster(("127.0.0.1",), 3, 29500), Cluster(("a", "b"), 2, 29500)])
def test_the_variables_of_a_rank_give_its_place(cluster: Cluster) -> None:
    for rank in range(cluster.world):
        place = LAUNCHER.find_place(LAUNCHER.variables(cluster, rank))
        local = rank % cluster.per_host
        assert place == Place(rank, cluster.world, local, cluster.per_host, cluster.hosts[0], "RANK and WORLD_SIZE")


def test_the_commands_are_those_of_torchrun() -> None:
    words = ["train", "youtube8m/attention_cluster", "--device", "GPU"]
    (command,) = LAUNCHER.commands(Cluster(("127.0.0.1",), 4, 29500), 0, "GPU", words)
    assert command.variables == {}
    assert " ".join(command.words) == (
        "torchrun --standalone --nproc-per-node=4 -m acz train youtube8m/attention_cluster --device GPU"
    )
    (command,) = LAUNCHER.commands(Cluster(("gpu-a", "gpu-b"), 8, 29500), 1, "GPU", words)
    assert " ".join(command.words) == (
        "torchrun --nnodes=2 --node-rank=1 --master-addr=gpu-a --master-port=29500 --nproc-per-node=8 "
        "-m acz train youtube8m/attention_cluster --device GPU"
    )
