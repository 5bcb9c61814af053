"""The place of a process of TensorFlow, by TF_CONFIG, and the commands that start it. Needs no framework."""

from __future__ import annotations

import json
from typing import Any

import pytest
from acz_tensorflow.launch import LAUNCHER

from acz.backend.processes import Cluster, Place
from acz.foundation.errors import SpecError

CHIEF = {"chief": ["a:2222"], "worker": ["a:2223", "b:2222", "b:2223"]}
ALONE = {"cluster": {"chief": ["a:2222"]}, "task": {"type": "chief", "index": 0}, "environment": "cloud"}


def config(cluster: Any, kind: Any = "worker", index: Any = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        ({"TF_CONFIG": ""}, None),
        ({"TF_CONFIG": "{}"}, None),
        ({"TF_CONFIG": json.dumps(ALONE)}, None),
        (config({"worker": ["a:2222"]}), None),
        (config({"worker": ["10.0.0.7:2222", "b:2222"]}, index=1), Place(1, 2, 0, 1, "10.0.0.7", "TF_CONFIG")),
        (config({"worker": ["[::1]:2222", "[::1]:2223"]}, index="1"), Place(1, 2, 1, 2, "[::1]", "TF_CONFIG")),
        (config(CHIEF, "chief"), Place(0, 4, 0, 2, "a", "TF_CONFIG")),
        (config(CHIEF, index=0), Place(1, 4, 1, 2, "a", "TF_CONFIG")),
        (config(CHIEF, index=2), Place(3, 4, 1, 2, "a", "TF_CONFIG")),
        (config({**CHIEF, "ps": []}, index=2), Place(3, 4, 1, 2, "a", "TF_CONFIG")),
    ],
)
def test_the_place_follows_from_tf_config(environment: dict[str, str], place: Place | None) -> None:
    assert LAUNCHER.find_place(environment) == place


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"TF_CONFIG": "{"}, r"TF_CONFIG can't be read: \{; set TF_CONFIG='.*\"index\": 0}}', or unset TF_CONFIG$"),
        ({"TF_CONFIG": "[1]"}, r"TF_CONFIG can't be read: \[1\]"),
        (config({"worker": 2}), r"TF_CONFIG can't be read: .*\"worker\": 2"),
        (config(CHIEF, index=3), r"TF_CONFIG has no worker 3 in its cluster .*; correct its task$"),
        (config(CHIEF, index=-1), r"TF_CONFIG has no worker -1"),
        (config(CHIEF, index=None), r"TF_CONFIG has no worker None"),
        (config(CHIEF, "trainer"), r"TF_CONFIG has no trainer 0"),
        (config({**CHIEF, "ps": ["c:1"]}), r"TF_CONFIG names tasks of type ps; acz trains with chief and worker alone"),
        (config({"worker": ["a:1"], "evaluator": ["b:1"]}), r"TF_CONFIG names tasks of type evaluator"),
        (config({"worker": ["a:1", "a:1"]}), r"TF_CONFIG needs another host:port for each task, not a:1, a:1"),
        (config({"worker": ["a:1", "b"]}), r"TF_CONFIG needs another host:port for each task, not a:1, b"),
    ],
)
def test_a_config_that_gives_no_place_is_refused(environment: dict[str, str], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        LAUNCHER.find_place(environment)


@pytest.mark.parametrize("cluster", [Cluster(("127.0.0.1",), 3, 29500), Cluster(("a", "b"), 2, 29500)])
def test_the_variables_of_a_rank_give_its_place(cluster: Cluster) -> None:
    for rank in range(cluster.world):
        place = LAUNCHER.find_place(LAUNCHER.variables(cluster, rank))
        local = rank % cluster.per_host
        assert place == Place(rank, cluster.world, local, cluster.per_host, cluster.hosts[0], "TF_CONFIG")


def test_each_process_has_a_command_with_its_config() -> None:
    words = ["train", "youtube8m/attention_cluster", "--device", "GPU"]
    commands = LAUNCHER.commands(Cluster(("gpu-a", "gpu-b"), 2, 29500), 1, "GPU", words)
    assert [" ".join(command.words) for command in commands] == [
        "python -m acz train youtube8m/attention_cluster --device GPU"
    ] * 2
    workers = '"worker": ["gpu-a:29500", "gpu-a:29501", "gpu-b:29500", "gpu-b:29501"]'
    assert [dict(command.variables) for command in commands] == [
        {"TF_CONFIG": f'{{"cluster": {{{workers}}}, "task": {{"type": "worker", "index": {index}}}}}'}
        for index in (2, 3)
    ]
