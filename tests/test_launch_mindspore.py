"""The place of a process of MindSpore, by the variables of msrun and beside rank tables, and the commands that start it.

Needs no framework.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from acz_mindspore.launch import LAUNCHER

from acz.backend.processes import Cluster, Place
from acz.foundation.errors import SpecError

WORDS = ["train", "youtube8m/attention_cluster", "--backend", "mindspore", "--device", "Ascend"]
MSRUN = {
    "MS_ROLE": "MS_WORKER",
    "MS_WORKER_NUM": "16",
    "MS_SCHED_HOST": "10.0.0.7",
    "MS_SCHED_PORT": "8118",
    "MS_NODE_ID": "11",
    "RANK_ID": "11",
    "RANK_SIZE": "16",
    "DEVICE_ID": "3",
}
"""The variables that msrun sets for number 3 of the second of two hosts."""
DEVICES = [{"0": "4", "1": "5"}, {"2": "0", "3": "1"}]
"""Two hosts of a rank table: for each its devices by rank."""


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        ({"RANK_ID": "0", "DEVICE_ID": "2", "RANK_SIZE": "1"}, None),
        (MSRUN | {"MS_WORKER_NUM": "1", "MS_NODE_ID": "0", "RANK_ID": "0", "DEVICE_ID": "0"}, None),
        (MSRUN, Place(11, 16, 3, 8, "10.0.0.7", "msrun")),
        (MSRUN | {"LOCAL_WORLD_SIZE": "4"}, Place(11, 16, 3, 4, "10.0.0.7", "msrun")),
        (MSRUN | {"RANK_TABLE_FILE": "not read"}, Place(11, 16, 3, 8, "10.0.0.7", "msrun")),
        (MSRUN | {"MS_NODE_ID": "3", "RANK_ID": "3"}, Place(3, 16, 3, 16, "10.0.0.7", "msrun")),
        ({k: v for k, v in MSRUN.items() if k != "MS_NODE_ID"}, Place(11, 16, 3, 8, "10.0.0.7", "msrun")),
        ({k: v for k, v in MSRUN.items() if k != "DEVICE_ID"}, Place(11, 16, 11, 16, "10.0.0.7", "msrun")),
    ],
    ids="nothing card_alone one_process second_host count_given table_too first_host rank_id no_device".split(),
)
def test_the_place_follows_from_what_msrun_sets(environment: Mapping[str, str], place: Place | None) -> None:
    assert LAUNCHER.find_place(environment) == place


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"MS_ROLE": "worker"}, r"MS_ROLE is 'worker'; MindSpore knows MS_WORKER and MS_SCHED"),
        ({"MS_ROLE": "MS_SCHED"}, r"MS_ROLE=MS_SCHED is msrun's scheduler, which has no rank"),
        ({"MS_WORKER_NUM": None}, r"MS_WORKER_NUM is not set; msrun sets it"),
        ({"MS_WORKER_NUM": "two"}, r"MS_WORKER_NUM must be a number, not 'two'"),
        ({"MS_NODE_ID": None, "RANK_ID": None}, r"no rank; type --node_rank=0, 1, ... for msrun on each host"),
        ({"MS_NODE_ID": "16"}, r"MS_NODE_ID must be a number from 0 to 15, not '16'"),
        ({"RANK_ID": "10"}, r"MS_NODE_ID is 11, and RANK_ID is 10; both are the rank"),
        ({"MS_SCHED_HOST": None}, r"MS_SCHED_HOST is not set; it is the address of the first host"),
        ({"MS_SCHED_PORT": "-1"}, r"MS_SCHED_PORT must be a number, not '-1'"),
        ({"DEVICE_ID": "4", "LOCAL_WORLD_SIZE": "4"}, r"rank 11 of 16 can't be number 4 \(DEVICE_ID\) on its host"),
        ({"DEVICE_ID": "2"}, r"rank 11 of 16 can't be number 2 \(DEVICE_ID\) on its host"),
    ],
)
def test_variables_of_msrun_that_give_no_place_are_refused_by_name(
    changes: Mapping[str, str | None], problem: str
) -> None:
    environment = {name: value for name, value in {**MSRUN, **changes}.items() if value is not None}
    with pytest.raises(SpecError, match=problem):
        LAUNCHER.find_place(environment)


def write_table(folder: Path, devices: list[dict[str, str]] = DEVICES) -> str:
    """Write a rank table as older clusters have them; gives its path."""
    servers = [
        {
            "server_id": f"10.0.0.{7 + host}",
            "device": [{"device_id": device, "device_ip": "192.1.0.1", "rank_id": rank} for rank, device in d.items()],
            "host_nic_ip": "reserve",
        }
        for host, d in enumerate(devices)
    ]
    table = {"version": "1.0", "server_count": str(len(servers)), "server_list": servers, "status": "completed"}
    (folder / "hccl.json").write_text(json.dumps(table))
    return str(folder / "hccl.json")


@pytest.mark.parametrize("variable", ["RANK_TABLE_FILE", "MINDSPORE_HCCL_CONFIG_PATH"])
def test_the_place_follows_from_a_rank_table(variable: str, tmp_path: Path) -> None:
    path = write_table(tmp_path)
    places = [
        LAUNCHER.find_place({variable: path, "RANK_ID": rank, "DEVICE_ID": device, "RANK_SIZE": "4"})
        for devices in DEVICES
        for rank, device in devices.items()
    ]
    assert places == [Place(rank, 4, rank % 2, 2, "10.0.0.7", "a rank table") for rank in range(4)]
    alone = write_table(tmp_path, [{"0": "3"}])
    assert LAUNCHER.find_place({variable: alone, "RANK_ID": "0", "DEVICE_ID": "3"}) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"RANK_ID": "4"}, r"RANK_ID must be a number from 0 to 3, not '4'"),
        ({"RANK_SIZE": "8"}, r"RANK_SIZE is 8, and hccl.json \(RANK_TABLE_FILE\) has 4 devices"),
        ({"DEVICE_ID": "1"}, r"DEVICE_ID is 1, and hccl.json \(RANK_TABLE_FILE\) has device 4 for rank 0"),
        ({"RANK_TABLE_FILE": "nowhere.json"}, r"RANK_TABLE_FILE names 'nowhere.json', which can't be read: No such"),
        ({"RANK_TABLE_FILE": __file__}, r"test_launch_mindspore.py', which is not a rank table; it must be JSON with"),
    ],
)
def test_a_rank_table_that_gives_no_place_is_refused_by_name(
    changes: Mapping[str, str], problem: str, tmp_path: Path
) -> None:
    beside = {"RANK_TABLE_FILE": write_table(tmp_path), "RANK_ID": "0", "DEVICE_ID": "4", "RANK_SIZE": "4"}
    with pytest.raises(SpecError, match=problem):
        LAUNCHER.find_place({**beside, **changes})


def test_the_ranks_of_a_table_are_each_there_once(tmp_path: Path) -> None:
    path = write_table(tmp_path, [{"0": "0", "2": "1"}])
    with pytest.raises(SpecError, match=r"the ranks in hccl.json \(RANK_TABLE_FILE\) must be 0 to 1, each once"):
        LAUNCHER.find_place({"RANK_TABLE_FILE": path, "RANK_ID": "0"})


@pytest.mark.parametrize("cluster", [Cluster(("127.0.0.1",), 3, 8118), Cluster(("a", "b"), 2, 8118)])
def test_the_variables_of_a_rank_give_its_place_and_the_scheduler_has_none(cluster: Cluster) -> None:
    for rank in range(cluster.world):
        variables = LAUNCHER.variables(cluster, rank)
        local = rank % cluster.per_host
        assert LAUNCHER.find_place(variables) == Place(
            rank, cluster.world, local, cluster.per_host, cluster.hosts[0], "msrun"
        )
        assert LAUNCHER.served_by is not None
        assert LAUNCHER.served_by(variables) is None
    assert LAUNCHER.scheduler is not None
    scheduler = LAUNCHER.scheduler(cluster)
    assert (
        scheduler.words == LAUNCHER.served_by(scheduler.variables) == [sys.executable, "-m", "acz_mindspore.scheduler"]
    )
    assert scheduler.variables["MS_SCHED_PORT"] == variables["MS_SCHED_PORT"] == "8118"


def test_the_commands_are_those_of_msrun() -> None:
    (command,) = LAUNCHER.commands(Cluster(("127.0.0.1",), 2, 8118), 0, "CPU", ["train"])
    assert " ".join(command.words) == (
        "msrun --worker_num=2 --local_worker_num=2 --master_addr=127.0.0.1 --master_port=8118 "
        "--log_dir=msrun-logs --join=True python -m acz train"
    )
    assert command.variables == {"LOCAL_WORLD_SIZE": "2", "MS_RECEIVE_MSG_TIMEOUT": "60", "MS_NODE_TIMEOUT": "30"}
    for host in range(2):
        (command,) = LAUNCHER.commands(Cluster(("ascend-a", "ascend-b"), 8, 8118), host, "Ascend", WORDS)
        assert " ".join(command.words) == (
            "msrun --worker_num=16 --local_worker_num=8 --master_addr=ascend-a --master_port=8118 "
            f"--log_dir=msrun-logs --join=True --node_rank={host} python -m acz "
            "train youtube8m/attention_cluster --backend mindspore --device Ascend"
        )
        assert command.variables["HCCL_EXEC_TIMEOUT"] == "60"
        assert command.variables["LOCAL_WORLD_SIZE"] == "8"
