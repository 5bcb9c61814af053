"""The engine of a Ray cluster. Ray places each rank on a node; the ranks join as on any other hosts.

The ranks of a call are one placement group. Where a rank or its node is lost, all ranks are ended, and the call is made
again from the last checkpoint. All nodes must see the same folders.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from acz.backend.engines.base import GRACE, Call, Engine, describe_failure, read_answer
from acz.backend.engines.rank_process import Node, RankProcess, Report
from acz.backend.processes import Cluster, Launcher
from acz.backend.ranks import ANSWER, OWN_SHARE
from acz.foundation.errors import DataError, Interrupted, RankFailed, SpecError
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.processes.ports import LOOPBACK
from acz.foundation.processes.ray_cluster import RETRIES, check_resources, joined_ray, options_of
from acz.foundation.progress import Progress, show_progress

DEVICES: Mapping[str, Mapping[str, float]] = {"CPU": {}, "Ascend": {"NPU": 1.0}}
"""The resources of a node that a rank takes for its device, where Ray does not call them by the device's kind."""
PERIOD = 0.3
"""Seconds between two reports of a rank."""
PATIENCE = 10.0
"""Seconds after which a line says that ranks wait for nodes, and in which they must end."""
SILENCE = 60.0
"""Seconds without an answer after which a rank counts as lost."""
STARTING = 300.0
"""The same for the first answer, before which Ray starts a process."""
KEPT = 4000
"""Bytes of a rank's output that are kept for a message about its end."""


@dataclass(frozen=True)
class RayEngine(Engine):
    """Starts the ranks on the nodes of a Ray cluster. Each has threads of its own, one by default, and a device of its own."""

    address: str | None = None
    """The address of the cluster; None starts one on this machine."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """Resources that a rank takes of a node, beside or instead of those for its threads and its device."""
    retries: int | None = None
    """The number of tries again where a rank or its node is lost."""
    progress: Progress | None = None
    """Gets the lines that rank 0 writes to its standard error."""

    def call_on_ranks(self, call: Call, processes: int, threads: int | None) -> Any:
        kind, _, numbers = call.device.partition(":")
        if numbers:
            raise SpecError(f"Ray chooses the devices of its ranks; type --device {kind} instead of {call.device}")
        launcher, threads = call.info(processes).launcher, threads or 1
        wanted = {"CPU": float(threads), **DEVICES.get(kind, {kind: 1.0}), **self.resources}
        retries = RETRIES if self.retries is None else self.retries
        with (
            show_progress(self.progress) as shown,
            joined_ray(self.address) as ray,
            interruptible() as is_interrupted,
        ):
            share = 1 if self.address else processes  # a cluster of ours has one node for all
            together = {name: amount * share for name, amount in wanted.items()}
            check_resources(ray.nodes(), together, bool(self.address), "ranks", shown)
            for attempt in range(retries + 1):
                call = replace(call, arguments={**call.arguments, "threads": threads})
                try:
                    with _placed(ray, wanted, processes, is_interrupted, shown) as ranks:
                        return _answer(ranks, call, launcher, threads, is_interrupted, shown)
                except RankFailed as error:
                    if is_interrupted():
                        raise Interrupted("interrupted; what was saved before is whole") from None
                    if attempt == retries or error.exit_code != RankFailed.exit_code:
                        raise
                    shown.line(f"{error}; all ranks start again, {attempt + 1} of {retries}")
                function, arguments = call.again() if call.again else (call.function, call.arguments)
                call = replace(call, function=function, arguments=arguments)
        raise AssertionError("unreachable")


class _Ranks:
    """The ranks of one attempt, as actors of Ray."""

    def __init__(self, ray: Any, actors: Sequence[Any]) -> None:
        self.ray, self.actors = ray, actors
        self.hosts = ["a node"] * len(actors)

    def ask(self, ranks: Iterable[int], method: str, *arguments: Any, seconds: float = SILENCE) -> dict[int, Any]:
        """Call a method at some ranks, and wait for the answers.

        Raises:
            RankFailed: a rank is lost, or does not answer in time.
        """
        asked = {rank: getattr(self.actors[rank], method).remote(*arguments) for rank in ranks}
        return {rank: self._read(rank, reference, seconds) for rank, reference in asked.items()}

    def _read(self, rank: int, reference: Any, seconds: float) -> Any:
        try:
            return self.ray.get(reference, timeout=seconds)
        except self.ray.exceptions.RayTaskError:
            raise
        except self.ray.exceptions.RayError as error:
            raise RankFailed(
                f"rank {rank} on {self.hosts[rank]} was lost with its node or worker ({type(error).__name__}); "
                "the last checkpoint is whole"
            ) from None


@contextmanager
def _placed(
    ray: Any, wanted: Mapping[str, float], processes: int, is_interrupted: Callable[[], bool], shown: Progress
) -> Iterator[_Ranks]:
    """Have Ray find a place for each rank. All ranks end with the body."""
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group: Any = placement_group([dict(wanted)] * processes, strategy="PACK")
    actors: list[Any] = []
    try:
        ready, since, told = group.ready(), time.monotonic(), False
        while not ray.wait([ready], timeout=PERIOD)[0]:
            if is_interrupted():
                raise Interrupted("interrupted")
            if time.monotonic() - since > PATIENCE and not told:
                told = True
                needed = ", ".join(f"{name}={amount:g}" for name, amount in wanted.items())
                shown.line(f"{processes} ranks wait for nodes with {needed} for each")
        kind = ray.remote(RankProcess)
        for rank in range(processes):
            strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
            actors.append(kind.options(scheduling_strategy=strategy, **options_of(wanted)).remote())
        yield _Ranks(ray, actors)
    finally:
        ending = [actor.end.remote() for actor in actors]
        with suppress(ray.exceptions.RayError):
            ray.wait(ending, num_returns=len(ending), timeout=PATIENCE)
        for actor in actors:
            ray.kill(actor)
        remove_placement_group(group)


def _answer(
    ranks: _Ranks,
    call: Call,
    launcher: Launcher | None,
    threads: int,
    is_interrupted: Callable[[], bool],
    shown: Progress,
) -> Any:
    """Start all ranks with a call, and wait for the answer of rank 0.

    Raises:
        DataError: a node does not have this folder.
        RankFailed: a rank is lost.
    """
    world, folder = len(ranks.actors), os.getcwd()
    everybody = range(world)
    nodes: dict[int, Node] = ranks.ask(everybody, "describe_node", folder, seconds=STARTING)
    ranks.hosts = [node.host for node in nodes.values()]
    for node in nodes.values():
        if not node.sees_folder:
            raise DataError(f"{node.host} does not have the folder {folder}; all nodes must see the same folders")
    ports = [node.port for node in nodes.values()]
    addresses = tuple(node.address for node in nodes.values())
    together = len(set(addresses)) == 1
    hosts = (LOOPBACK,) if together else addresses
    cluster = Cluster(hosts, world if together else 1, ports[0], ports)
    if launcher and launcher.scheduler and world > 1:
        command = launcher.scheduler(cluster)
        ranks.ask([0], "start_beside", command.words[1:], dict(command.variables))
    sent = call.to_bytes()
    for rank in everybody:
        place = launcher.variables(cluster, rank) if launcher else {}
        ranks.ask([rank], "start", sent, threads, {**place, OWN_SHARE: "1"}, ANSWER, folder)
    return _wait(ranks, is_interrupted, shown)


def _wait(ranks: _Ranks, is_interrupted: Callable[[], bool], shown: Progress) -> Any:
    """Wait for all ranks; where one fails, for the others for GRACE seconds. Gives the answer of rank 0."""
    outputs = [b""] * len(ranks.actors)
    line, answer, told = b"", None, False
    running, deadline = set(range(len(ranks.actors))), float("inf")
    failure: RankFailed | None = None
    while running and time.monotonic() < deadline:
        if is_interrupted() and not told:
            told = True
            ranks.ask(running, "interrupt")
        reports: dict[int, Report] = ranks.ask(running, "report")
        for rank, report in reports.items():
            outputs[rank] = (outputs[rank] + report.output)[-KEPT:]
            if report.code is None:
                continue
            running.discard(rank)
            if rank == 0:
                answer = report.answer
            if report.code and failure is None:
                failure = describe_failure(rank, ranks.hosts[rank], report.code, outputs[rank])
                deadline = time.monotonic() + GRACE
        if 0 in reports and not told:
            *lines, line = (line + reports[0].output).split(b"\n")
            for text in lines:
                shown.line(text.decode(errors="replace"))
        time.sleep(PERIOD)
    if line and not told:
        shown.line(line.decode(errors="replace"))
    return read_answer(answer, failure)
