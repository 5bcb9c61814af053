"""Trials as tasks of a Ray cluster. A task has resources of its own, and is tried again where its worker is lost.

The folder and the data of a trial must lie on a file system that all nodes share. Then a lost trial resumes on another
node from its last checkpoint, and the results can be gathered here.
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
from acz.foundation.installation import install_command
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.progress import Progress
from acz.studies.sweeps.trial import GRACE, Job, Outcome, Outcomes, run_trial

OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""The options of a task for the resources that Ray knows by name. All others are custom resources."""
LAST_PORT, SECONDS = 65535, 10.0
"""The largest port, and the seconds in which a cluster must answer."""
LOCAL_STORE = 100_000_000
"""Bytes of the object store of a cluster on this machine. Only short texts pass through it."""


def run_on_ray(
    address: str | None, resources: Mapping[str, float], retries: int, jobs: Sequence[Job], shown: Progress
) -> Outcomes:
    """Run every job on a Ray cluster.

    Args:
        address: The address of the cluster; None starts one on this machine.
        resources: The resources that a trial takes of a node.
        retries: The number of tries again of a trial whose worker or node is lost.
        jobs: The jobs.
        shown: Progress by trial.

    Yields:
        The outcome of each trial when it has ended.

    Raises:
        MissingError: Ray, the cluster or a resource is missing.
        Interrupted: Ctrl-C was pressed; all trials are saved.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        # Ray listens on all interfaces, so a cluster of ours obeys only those who have this secret token
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray as library
    except ImportError as error:
        raise MissingError(f"engine 'ray' needs Ray ({error}); {install_command('acz[ray]')} installs it") from None
    ray: Any = library  # its types are incomplete
    with _joined(ray, address):
        _check_resources(ray.nodes(), resources, bool(address), shown)
        task = ray.remote(run_trial).options(max_retries=retries, **_options(resources))
        yield from _outcomes(ray, {task.remote(job): job for job in jobs}, shown)


@contextmanager
def _joined(ray: Any, address: str | None) -> Iterator[None]:
    """Join the cluster at `address`, or start one on this machine, which ends with the body and leaves no files."""
    if address is not None:
        _check_answers(address)
    with tempfile.TemporaryDirectory(prefix="acz-ray-") as folder:
        settings: dict[str, Any] = {"address": address}
        if address is None:
            settings = {"address": "local", "include_dashboard": False, "object_store_memory": LOCAL_STORE}
            settings["_temp_dir"] = folder
        try:
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            words = str(error).strip().splitlines()
            failure = f"answers at {address}" if address else "could be started"
            raise _no_cluster(failure, words[0].rstrip(".") if words else type(error).__name__) from None
        try:
            yield
        finally:
            ray.shutdown()


def _no_cluster(failure: str, reason: str) -> MissingError:
    return MissingError(
        f"no Ray cluster {failure}: {reason}. "
        "'ray start --head' starts one; without --address one is started on this machine"
    )


def _check_answers(address: str) -> None:
    """Raise MissingError where nothing listens at HOST:PORT. Ray itself would wait forever without a message."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal() or int(port) > LAST_PORT:
        raise SpecError(f"--address must be HOST:PORT of a Ray cluster, or auto, got '{address}'")
    try:
        socket.create_connection((host, int(port)), SECONDS).close()
    except OSError as error:
        raise _no_cluster(f"answers at {address}", error.strerror or str(error)) from None


def _options(resources: Mapping[str, float]) -> dict[str, Any]:
    """The options of a task that needs `resources`."""
    options: dict[str, Any] = {OPTIONS[name]: amount for name, amount in resources.items() if name in OPTIONS}
    return options | {"resources": {name: amount for name, amount in resources.items() if name not in OPTIONS}}


def _check_resources(
    nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, float], may_grow: bool, shown: Progress
) -> None:
    """Check that a node has the resources of a trial.

    A cluster at an address may grow, so there a line says that trials wait.

    Raises:
        MissingError: No node has the resources, and the cluster does not grow.
    """
    offered = [node["Resources"] for node in nodes if node["Alive"]]
    if any(all(node.get(name, 0) >= amount for name, amount in resources.items()) for node in offered):
        return
    needed = ", ".join(f"{name}={amount:g}" for name, amount in resources.items())
    largest = {name: max(node.get(name, 0) for node in offered) for name in ("CPU", "GPU", *resources)}
    offers = ", ".join(f"{name}={amount:g}" for name, amount in largest.items())
    text = f"no node has {needed}; the largest offers are {offers}"
    if not may_grow:
        raise MissingError(f"{text}; ask for less with --resources, or name a cluster with --address")
    shown.line(f"{text}; trials wait for a larger node")


def _outcomes(ray: Any, pending: dict[Any, Job], shown: Progress) -> Outcomes:
    total = len(pending)
    with interruptible() as interrupted:
        try:
            while pending:
                if interrupted():
                    raise Interrupted("interrupted")
                finished, _ = ray.wait(list(pending), timeout=0.5)
                for reference in finished:
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
