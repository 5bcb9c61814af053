"""The start of several processes with torchrun, and the variables by which each knows its place. Loads no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acz.backend.processes import Cluster, Command, Launcher, Place
from acz.foundation.errors import SpecError

RANK, WORLD, ADDRESS, PORT = "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"
LOCAL_RANK, LOCAL_WORLD = "LOCAL_RANK", "LOCAL_WORLD_SIZE"
RUN = "TORCHELASTIC_RUN_ID"
"""A variable that torchrun sets and other launchers of PyTorch do not."""
HERE = ("localhost", "127.0.0.1", "::1")


def find_place(environment: Mapping[str, str]) -> Place | None:
    present = [name for name in (RANK, WORLD) if name in environment]
    if not present or environment.get(WORLD) == "1":
        return None
    missing = [name for name in (RANK, WORLD, ADDRESS, PORT) if name not in environment]
    if missing:
        raise SpecError(
            f"{' and '.join(present)} set the place of a process of PyTorch, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; start the processes with torchrun, or unset {' and '.join(present)}"
        )
    rank, world = _number(environment, RANK), _number(environment, WORLD)
    address = environment[ADDRESS]
    alone = (rank, world) if address in HERE else (0, 1)  # launchers of one process a host leave these out
    local_rank = _number(environment, LOCAL_RANK) if LOCAL_RANK in environment else alone[0]
    local_world = _number(environment, LOCAL_WORLD) if LOCAL_WORLD in environment else max(alone[1], local_rank + 1)
    if not (local_rank <= rank < world and local_rank < local_world <= world):
        names = ", ".join(
            f"{name}={environment[name]}" for name in (RANK, WORLD, LOCAL_RANK, LOCAL_WORLD) if name in environment
        )
        raise SpecError(f"{names} contradict each other; start the processes with torchrun, or unset them")
    return Place(
        rank, world, local_rank, local_world, address, "torchrun" if RUN in environment else f"{RANK} and {WORLD}"
    )


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not (text.isascii() and text.isdigit()):
        raise SpecError(f"{name}={text} is not a number; start the processes with torchrun, or unset {name}")
    return int(text)


def variables(cluster: Cluster, rank: int) -> Mapping[str, str]:
    return {
        RANK: str(rank),
        WORLD: str(cluster.world),
        LOCAL_RANK: str(rank % cluster.per_host),
        LOCAL_WORLD: str(cluster.per_host),
        ADDRESS: cluster.hosts[0],
        PORT: str(cluster.port),
    }


def commands(cluster: Cluster, host: int, device: str, words: Sequence[str]) -> Sequence[Command]:
    if len(cluster.hosts) == 1:
        meeting = ["--standalone"]
    else:
        meeting = [f"--nnodes={len(cluster.hosts)}", f"--node-rank={host}"]
        meeting += [f"--master-addr={cluster.hosts[0]}", f"--master-port={cluster.port}"]
    return [Command({}, ["torchrun", *meeting, f"--nproc-per-node={cluster.per_host}", "-m", "acz", *words])]


LAUNCHER = Launcher("torchrun", find_place, variables, commands)
