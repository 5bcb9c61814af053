"""The start of several processes with PaddlePaddle's launcher, and the variables by which each knows its place. Loads no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acz.backend.processes import Cluster, Command, Launcher, Place
from acz.foundation.errors import SpecError

NAME = "paddle.distributed.launch"
RANK, WORLD, ENDPOINTS, HERE = (
    "PADDLE_TRAINER_ID",
    "PADDLE_TRAINERS_NUM",
    "PADDLE_TRAINER_ENDPOINTS",
    "PADDLE_CURRENT_ENDPOINT",
)
LOCAL_RANKS = ("PADDLE_LOCAL_RANK", "PADDLE_RANK_IN_NODE")
"""The number of a process on its host, in newer and in older launchers."""
LOCAL_WORLD = "PADDLE_LOCAL_SIZE"


def find_place(environment: Mapping[str, str]) -> Place | None:
    present = [name for name in (RANK, WORLD) if name in environment]
    if not present or environment.get(WORLD) == "1":
        return None
    missing = [name for name in (RANK, WORLD, ENDPOINTS, HERE) if not environment.get(name)]
    if missing:
        raise SpecError(
            f"{' and '.join(present)} set the place of a process of PaddlePaddle, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; start the processes with {NAME}, or unset {' and '.join(present)}"
        )
    rank, world = _number(environment, RANK), _number(environment, WORLD)
    endpoints = environment[ENDPOINTS].split(",")
    if not rank < world == len(endpoints) or endpoints[rank] != environment[HERE]:
        names = ", ".join(f"{name}={environment[name]}" for name in (RANK, WORLD, ENDPOINTS, HERE))
        raise SpecError(f"{names} contradict each other; start the processes with {NAME}, or unset them")
    hosts = [endpoint.rpartition(":")[0] for endpoint in endpoints]
    local = [number for number, host in enumerate(hosts) if host == hosts[rank]]
    local_rank, local_world = local.index(rank), len(local)
    name = next((name for name in LOCAL_RANKS if name in environment), None)
    if name and LOCAL_WORLD in environment:
        local_rank, local_world = _number(environment, name), _number(environment, LOCAL_WORLD)
        if not local_rank < local_world <= world:
            names = ", ".join(f"{each}={environment[each]}" for each in (RANK, WORLD, name, LOCAL_WORLD))
            raise SpecError(f"{names} contradict each other; start the processes with {NAME}, or unset them")
    return Place(rank, world, local_rank, local_world, hosts[0], NAME)


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not (text.isascii() and text.isdigit()):
        raise SpecError(f"{name}={text} is not a number; start the processes with {NAME}, or unset {name}")
    return int(text)


def variables(cluster: Cluster, rank: int) -> Mapping[str, str]:
    endpoints = [cluster.endpoint(number) for number in range(cluster.world)]
    return {
        RANK: str(rank),
        WORLD: str(cluster.world),
        ENDPOINTS: ",".join(endpoints),
        HERE: endpoints[rank],
        LOCAL_RANKS[0]: str(rank % cluster.per_host),
        LOCAL_RANKS[1]: str(rank % cluster.per_host),
        LOCAL_WORLD: str(cluster.per_host),
        "PADDLE_MASTER": f"{cluster.hosts[0]}:{cluster.port}",
        "PADDLE_NNODES": str(len(cluster.hosts)),
    }


def commands(cluster: Cluster, host: int, device: str, words: Sequence[str]) -> Sequence[Command]:
    launcher = ["python", "-m", NAME]
    if len(cluster.hosts) > 1:
        launcher += ["--master", f"{cluster.hosts[0]}:{cluster.port}", "--rank", str(host)]
        launcher += ["--nnodes", str(len(cluster.hosts))]
    if device == "CPU":
        launcher += ["--nproc_per_node", str(cluster.per_host)]
    else:
        launcher += ["--devices", ",".join(map(str, range(cluster.per_host)))]
    return [Command({}, [*launcher, "acz", *words])]  # it starts a program, and no module


LAUNCHER = Launcher(NAME, find_place, variables, commands)
