"""Trials as tasks of a Ray cluster: one trial a task, resources for each, and another try where a worker is lost.

A trial's folder and its data must lie on a file system that all nodes share: so a trial whose worker was lost goes on elsewhere from its
last checkpoint, and the results can be gathered here.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from acz.foundation.errors import Interrupted, MissingError, SpecError
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.progress import Progress
from acz.studies.sweeps.trial import GRACE, Job, Outcome, Outcomes, run_trial

OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""Ray's own names of three resources in a task's options; others are custom ones."""
LAST_PORT, ANSWER = 65535, 10.0
"""The largest number of a port, and seconds in which it must answer."""
LOCAL_STORE = 100_000_000
"""Bytes of the object store of a cluster that is started here: only words pass through it."""


def run_on_ray(
    address: str | None, resources: Mapping[str, float], retries: int, jobs: Sequence[Job], shown: Progress
) -> Outcomes:
    """Run every job on the cluster at `address`, or on one that is started on this machine; gives each outcome as it comes.

    A trial whose worker or node is lost is tried again, up to `retries` times.
    Raises MissingError (Ray, the cluster, a resource), Interrupted on Ctrl-C, when all trials are saved.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        # Ray listens on all interfaces: a cluster of ours takes orders only from those who know a word that nobody else is told
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray as library
    except ImportError as error:
        raise MissingError(f"engine 'ray' needs Ray ({error}); pip install \"acz[ray]\" brings it") from None
    ray: Any = library  # its types are incomplete
    with _joined(ray, address):
        _check_resources(ray.nodes(), resources, bool(address), shown)
        task = ray.remote(run_trial).options(max_retries=retries, **_options(resources))
        yield from _outcomes(ray, {task.remote(job): job for job in jobs}, shown)


@contextmanager
def _joined(ray: Any, address: str | None) -> Iterator[None]:
    """Be a driver of the cluster at `address`, or of one on this machine that goes, with its files, when the body is left."""
    if address is not None:
        _check_answers(address)
    with tempfile.TemporaryDirectory(prefix="acz-ray-") as folder:
        where: dict[str, Any] = {"address": address}
        if address is None:
            where = {"address": "local", "include_dashboard": False, "object_store_memory": LOCAL_STORE}
            where["_temp_dir"] = folder
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            words = str(error).strip().splitlines()
            at = f"answers at {address}" if address else "could be started"
            raise _no_cluster(at, words[0].rstrip(".") if words else type(error).__name__) from None
        try:
            yield
        finally:
            ray.shutdown()


def _no_cluster(at: str, why: str) -> MissingError:
    return MissingError(
        f"no Ray cluster {at}: {why}. 'ray start --head' starts one; without --address one is started on this machine"
    )


def _check_answers(address: str) -> None:
    """Raise MissingError where nothing listens at HOST:PORT: Ray itself would wait for it without an end or a word."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal() or int(port) > LAST_PORT:
        raise SpecError(f"--address must be HOST:PORT of a Ray cluster, or auto, got '{address}'")
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except OSError as error:
        raise _no_cluster(f"answers at {address}", error.strerror or str(error)) from None


def _options(resources: Mapping[str, float]) -> dict[str, Any]:
    """The options of a task that needs `resources`."""
    options: dict[str, Any] = {OPTIONS[name]: amount for name, amount in resources.items() if name in OPTIONS}
    return options | {"resources": {name: amount for name, amount in resources.items() if name not in OPTIONS}}


def _check_resources(
    nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, float], may_grow: bool, shown: Progress
) -> None:
    """Say that no node has what a trial needs, or raise MissingError where none will come."""
    offered = [node["Resources"] for node in nodes if node["Alive"]]
    if any(all(node.get(name, 0) >= amount for name, amount in resources.items()) for node in offered):
        return
    wanted = ", ".join(f"{name}={amount:g}" for name, amount in resources.items())
    largest = {name: max(node.get(name, 0) for node in offered) for name in ("CPU", "GPU", *resources)}
    text = f"no node has {wanted}; the most that one offers: " + ", ".join(f"{k}={v:g}" for k, v in largest.items())
    if not may_grow:
        raise MissingError(f"{text}; ask for less with --resources, or name a cluster with --address")
    shown.line(f"{text}; trials wait for one")


def _outcomes(ray: Any, pending: dict[Any, Job], shown: Progress) -> Outcomes:
    total = len(pending)
    with interruptible() as asked:
        try:
            while pending:
                if asked():
                    raise Interrupted("interrupted")
                ended, _ = ray.wait(list(pending), timeout=0.5)
                for reference in ended:
                    job = pending.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        text = " ".join(str(error).split())
                        outcome = Outcome(job.name, f"its worker was lost: {type(error).__name__}: {text}")
                    yield outcome
                shown("trials", total - len(pending), total, "on Ray")
        finally:
            for reference in pending:
                ray.cancel(reference)
            if pending:
                ray.wait(list(pending), num_returns=len(pending), timeout=GRACE)
