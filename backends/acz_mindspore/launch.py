"""The start of several processes of MindSpore: msrun, and the rank tables of Ascend clusters. Imports no framework."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acz.backend.processes import Cluster, Command, Launcher, Place
from acz.foundation.errors import SpecError

MSRUN, RANK_TABLE = "msrun", "a rank table"
WORKER, SCHEDULER = "MS_WORKER", "MS_SCHED"
MEETING_POINT = [sys.executable, "-m", "acz_mindspore.scheduler"]
LOGS = "msrun-logs"
"""The folder of the logs that msrun writes, below the current one."""
LOST = {"MS_RECEIVE_MSG_TIMEOUT": "60", "MS_NODE_TIMEOUT": "30"}
"""Seconds after which a process that is lost ends the collectives of the others, and the scheduler. By default 300."""
ASCEND = {"HCCL_EXEC_TIMEOUT": "60"}
"""The same between Ascend cards. The oldest take a multiple of 68."""
QUICK = {"MS_RETRY_INTERVAL_LOWER": "1", "MS_RETRY_INTERVAL_UPPER": "2"}
"""Seconds between two tries to reach the scheduler: three to five by default, of which a start takes several."""


def find_place(environment: Mapping[str, str]) -> Place | None:
    """The place of a process from the variables that msrun sets, or those beside a rank table.

    Raises:
        SpecError: they contradict each other, or one is missing.
    """
    role = environment.get("MS_ROLE")
    if role == WORKER:
        return _of_msrun(environment)
    if role == SCHEDULER:
        raise SpecError("MS_ROLE=MS_SCHED is msrun's scheduler, which has no rank; MS_ROLE=MS_WORKER is a rank")
    if role is not None:
        raise SpecError(f"MS_ROLE is '{role}'; MindSpore knows MS_WORKER and MS_SCHED")
    for variable in ("RANK_TABLE_FILE", "MINDSPORE_HCCL_CONFIG_PATH"):
        if environment.get(variable):
            return _of_table(environment, variable)
    return None


def _number(environment: Mapping[str, str], variable: str, below: int | None = None) -> int:
    """The number in a variable.

    Raises:
        SpecError: the variable is missing, or is not a number from 0 to `below`.
    """
    text = environment.get(variable)
    if text is None:
        raise SpecError(
            f"{variable} is not set; msrun sets it for each process, and so does a script with a rank table"
        )
    if not (text.isascii() and text.isdigit()) or (below is not None and int(text) >= below):
        wanted = "a number" if below is None else f"a number from 0 to {below - 1}"
        raise SpecError(f"{variable} must be {wanted}, not '{text}'")
    return int(text)


def _of_msrun(environment: Mapping[str, str]) -> Place | None:
    world = _number(environment, "MS_WORKER_NUM")
    if world <= 1:
        return None
    named = [variable for variable in ("MS_NODE_ID", "RANK_ID") if variable in environment]
    if not named:
        raise SpecError("msrun has given this process no rank; type --node_rank=0, 1, ... for msrun on each host")
    rank, *others = [_number(environment, variable, world) for variable in named]
    if others not in ([], [rank]):
        raise SpecError(f"MS_NODE_ID is {rank}, and RANK_ID is {others[0]}; both are the rank")
    if not environment.get("MS_SCHED_HOST"):
        raise SpecError("MS_SCHED_HOST is not set; it is the address of the first host, msrun's --master_addr")
    _number(environment, "MS_SCHED_PORT")
    local_rank = _number(environment, "DEVICE_ID", rank + 1) if "DEVICE_ID" in environment else rank
    if "LOCAL_WORLD_SIZE" in environment:
        local_world = _number(environment, "LOCAL_WORLD_SIZE", world + 1)
    else:  # msrun tells nobody how many it starts; hosts have the same number: the largest that can be
        before = rank - local_rank
        counts = range(local_rank + 1, world + 1)
        local_world = max((n for n in counts if world % n == 0 and before % n == 0), default=0)
    if local_rank >= local_world or (rank - local_rank) % local_world:
        raise SpecError(f"rank {rank} of {world} can't be number {local_rank} (DEVICE_ID) on its host")
    return Place(rank, world, local_rank, local_world, environment["MS_SCHED_HOST"], MSRUN)


def _of_table(environment: Mapping[str, str], variable: str) -> Place | None:
    path = Path(environment[variable])
    servers = _servers(path, variable)
    world = sum(map(len, servers.values()))
    if "RANK_SIZE" in environment and _number(environment, "RANK_SIZE") != world:
        raise SpecError(f"RANK_SIZE is {environment['RANK_SIZE']}, and {path.name} ({variable}) has {world} devices")
    ranks = sorted(rank for devices in servers.values() for rank in devices)
    if ranks != list(range(world)):
        raise SpecError(f"the ranks in {path.name} ({variable}) must be 0 to {world - 1}, each once")
    rank = _number(environment, "RANK_ID", world)
    here = next(devices for devices in servers.values() if rank in devices)
    if "DEVICE_ID" in environment and _number(environment, "DEVICE_ID") != here[rank]:
        raise SpecError(
            f"DEVICE_ID is {environment['DEVICE_ID']}, and {path.name} ({variable}) has device {here[rank]} for rank {rank}"
        )
    if world == 1:
        return None
    address = next(name for name, devices in servers.items() if 0 in devices)
    return Place(rank, world, sorted(here).index(rank), len(here), address, RANK_TABLE)


def _servers(path: Path, variable: str) -> dict[str, dict[int, int]]:
    """The servers of a rank table: for each its devices by rank.

    Raises:
        SpecError: there is no such file, or it is not a rank table.
    """
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(server["server_id"]): {int(device["rank_id"]): int(device["device_id"]) for device in server["device"]}
            for server in table["server_list"]
        }
    except OSError as error:
        raise SpecError(f"{variable} names '{path}', which can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        wanted = "JSON with server_list, and in each server server_id and device, with device_id and rank_id"
        raise SpecError(f"{variable} names '{path}', which is not a rank table; it must be {wanted}") from error


def variables(cluster: Cluster, rank: int) -> Mapping[str, str]:
    """The variables that put a process at a rank of a cluster, as msrun sets them."""
    local = str(rank % cluster.per_host)
    return {
        **_meeting(cluster),
        "MS_ROLE": WORKER,
        "MS_NODE_ID": str(rank),
        "RANK_ID": str(rank),
        "RANK_SIZE": str(cluster.world),
        "DEVICE_ID": local,
        "LOCAL_WORLD_SIZE": str(cluster.per_host),
    }


def commands(cluster: Cluster, host: int, device: str, words: Sequence[str]) -> Sequence[Command]:
    """The line of msrun for a host."""
    launcher = [
        MSRUN,
        f"--worker_num={cluster.world}",
        f"--local_worker_num={cluster.per_host}",
        f"--master_addr={cluster.hosts[0]}",
        f"--master_port={cluster.port}",
        f"--log_dir={LOGS}",
        "--join=True",
    ]
    if len(cluster.hosts) > 1:
        launcher.append(f"--node_rank={host}")
    chosen = {"LOCAL_WORLD_SIZE": str(cluster.per_host), **LOST, **(ASCEND if device == "Ascend" else {})}
    return [Command(chosen, [*launcher, "python", "-m", "acz", *words])]  # msrun takes a module after the word `python`


def scheduler(cluster: Cluster) -> Command:
    """The process that the ranks meet at."""
    return Command({**_meeting(cluster), "MS_ROLE": SCHEDULER}, MEETING_POINT)


def served_by(environment: Mapping[str, str]) -> Sequence[str] | None:
    """The scheduler's program, for the process that msrun starts as the scheduler with the words of the ranks."""
    return MEETING_POINT if environment.get("MS_ROLE") == SCHEDULER else None


def _meeting(cluster: Cluster) -> dict[str, str]:
    meeting = {
        "MS_WORKER_NUM": str(cluster.world),
        "MS_SCHED_HOST": cluster.hosts[0],
        "MS_SCHED_PORT": str(cluster.port),
        "MS_TOPO_TIMEOUT": "300",
    }
    return {**meeting, **LOST, **QUICK}


LAUNCHER = Launcher(MSRUN, find_place, variables, commands, scheduler, served_by)
