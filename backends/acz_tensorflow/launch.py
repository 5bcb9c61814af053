"""The start of several processes by TF_CONFIG, the variable by which each knows its place. Loads no framework."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from acz.backend.processes import Cluster, Command, Launcher, Place
from acz.foundation.errors import SpecError

CONFIG = "TF_CONFIG"
TASKS = ("chief", "worker")
"""The types of task that train, in the order of ranks. There is at most one chief."""
EXAMPLE = (
    f"""{CONFIG}='{{"cluster": {{"worker": ["a:29500", "b:29500"]}}, "task": {{"type": "worker", "index": 0}}}}'"""
)


def find_place(environment: Mapping[str, str]) -> Place | None:
    text = environment.get(CONFIG, "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
        workers = {kind: list(map(str, addresses)) for kind, addresses in _entry(config, "cluster").items()}
        task = _entry(config, "task")
        members = [address for kind in TASKS for address in workers.get(kind, [])]
    except (ValueError, AttributeError, TypeError):
        raise SpecError(f"{CONFIG} can't be read: {text}; set {EXAMPLE}, or unset {CONFIG}") from None
    if sum(map(len, workers.values())) < 2:
        return None
    kind, number = task.get("type"), str(task.get("index"))
    if others := [name for name in workers if name not in TASKS and workers[name]]:
        raise SpecError(
            f"{CONFIG} names tasks of type {', '.join(others)}; acz trains with {' and '.join(TASKS)} alone"
        )
    if kind not in workers or not (number.isascii() and number.isdigit() and int(number) < len(workers[kind])):
        raise SpecError(f"{CONFIG} has no {kind} {number} in its cluster {json.dumps(workers)}; correct its task")
    if len(set(members)) < len(members) or not all(_host(address) for address in members):
        raise SpecError(f"{CONFIG} needs another host:port for each task, not {', '.join(members)}")
    rank = int(number) + (len(workers.get("chief", [])) if kind == "worker" else 0)
    hosts = [_host(address) for address in members]
    here = hosts[rank]
    return Place(rank, len(hosts), hosts[:rank].count(here), hosts.count(here), hosts[0], CONFIG)


def _entry(config: Any, name: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = config.get(name) or {}
    return entry


def _host(address: str) -> str:
    """The host of `host:port`; empty where it is no address."""
    host, _, port = address.rpartition(":")
    return host if port.isascii() and port.isdigit() else ""


def variables(cluster: Cluster, rank: int) -> Mapping[str, str]:
    workers = [cluster.endpoint(number) for number in range(cluster.world)]
    return {CONFIG: json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": rank}})}


def commands(cluster: Cluster, host: int, device: str, words: Sequence[str]) -> Sequence[Command]:
    ranks = range(host * cluster.per_host, (host + 1) * cluster.per_host)
    return [Command(variables(cluster, rank), ["python", "-m", "acz", *words]) for rank in ranks]


LAUNCHER = Launcher(CONFIG, find_place, variables, commands)
