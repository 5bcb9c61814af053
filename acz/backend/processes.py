"""Several processes that train one model: the place of each, and how a framework's launcher tells it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


def rows_of_rank(count: int, rank: int, world: int) -> slice:
    """The contiguous part of `count` rows that falls to a process. Parts differ by at most one row."""
    return slice(rank * count // world, (rank + 1) * count // world)


@dataclass(frozen=True)
class Place:
    """The place of a process among those that share one task."""

    rank: int
    world: int
    """The number of processes."""
    local_rank: int
    """The number of this process on its host."""
    local_world: int
    """The number of processes on this host."""
    address: str
    """The name or address of the host of rank 0."""
    launcher: str
    """The name of what said so."""

    def part(self, videos: int) -> slice:
        """This process's part of a batch: contiguous rows, in the order of ranks. Parts differ by at most one row."""
        return rows_of_rank(videos, self.rank, self.world)

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world}, by {self.launcher}"


@dataclass(frozen=True)
class Cluster:
    """Processes that are to be started: the hosts in the order of ranks, each with the same number of processes."""

    hosts: Sequence[str]
    per_host: int
    port: int
    """A free port of the first host. A framework that needs a port for each process takes this one and those after it."""
    ports: Sequence[int] = ()
    """A free port for each process on its host, where they are known."""

    @property
    def world(self) -> int:
        """The number of processes."""
        return len(self.hosts) * self.per_host

    def endpoint(self, rank: int) -> str:
        """`host:port` of a process, for a framework that wants one for each: no two of a host have the same port."""
        port = self.ports[rank] if self.ports else self.port + rank % self.per_host
        return f"{self.hosts[rank // self.per_host]}:{port}"


@dataclass(frozen=True)
class Command:
    """A program to start: the variables to set for it, and its words."""

    variables: Mapping[str, str]
    words: Sequence[str]

    def __str__(self) -> str:
        """The command as it is typed in a shell."""
        return " ".join(
            [*(f"{name}={shlex.quote(value)}" for name, value in self.variables.items()), shlex.join(self.words)]
        )


@dataclass(frozen=True)
class Launcher:
    """The start of a framework's processes, and the way in which each learns its place. Its functions import no framework."""

    name: str
    """The framework's own launcher: `torchrun`."""
    find_place: Callable[[Mapping[str, str]], Place | None]
    """Reads the place of a process from the environment variables that any of the framework's launchers set.

    None: they set nothing, or the place of a process that is alone. Raises SpecError where they contradict each other.
    """
    variables: Callable[[Cluster, int], Mapping[str, str]]
    """The variables that put a process at a rank of a cluster, as the launcher would set them."""
    commands: Callable[[Cluster, int, str, Sequence[str]], Sequence[Command]]
    """The commands that a user types on a host of a cluster: given the host's number, the kind of device, and the words after `-m acz`."""
    scheduler: Callable[[Cluster], Command] | None = None
    """A further process, without a rank, that runs on the first host while the others do."""
    served_by: Callable[[Mapping[str, str]], Sequence[str] | None] | None = None
    """Gives the words of the program that a process must become which a launcher started as its scheduler, with the user's program.

    Given the environment variables; None for a process that is not a scheduler.
    """


def fill_buckets(sizes: Sequence[int], room: int) -> list[list[int]]:
    """The numbers of arrays by bucket, in their order. Arrays travel together while there is room; a larger one travels alone.

    Args:
        sizes: the bytes of each array.
        room: the bytes of a bucket.
    """
    buckets: list[list[int]] = []
    left = 0
    for number, size in enumerate(sizes):
        if not buckets or size > left:
            buckets.append([])
            left = room
        buckets[-1].append(number)
        left -= size
    return buckets
