"""A Ray cluster: joining or starting it, and the resources of its nodes."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from acz.foundation.errors import MissingError, SpecError, nearest
from acz.foundation.installation import install_command
from acz.foundation.progress import Progress

ENGINES = ("local", "ray")
RETRIES = 3
"""Tries again of what was lost with its Ray node."""
OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""The options of a task for the resources that Ray knows by name. All others are custom resources."""
LAST_PORT, SECONDS = 65535, 10.0
"""The largest port, and the seconds in which a cluster must answer."""
LOCAL_STORE = 100_000_000
"""Bytes of the object store of a cluster on this machine. Only short texts pass through it."""


def require_engine(
    engine: str,
    address: str | None = None,
    resources: Mapping[str, float] | None = None,
    retries: int | None = None,
) -> None:
    """Raise SpecError unless the name of an engine and Ray's settings fit each other."""
    if engine not in ENGINES:
        raise SpecError(f"there is no engine '{engine}'; {nearest(engine, ENGINES)}")
    if engine == "local" and (address or resources or retries is not None):
        raise SpecError("--address, --resources and --retries are Ray's; add --engine ray, or leave them out")
    if retries is not None and retries < 0:
        raise SpecError(f"retries (--retries) must be at least 0, got {retries}")


@contextmanager
def joined_ray(address: str | None) -> Iterator[Any]:
    """Join a cluster, or start one on this machine, which ends with the body and leaves no files.

    Args:
        address: the address of the cluster; None starts one.

    Yields:
        The module of Ray.

    Raises:
        SpecError: the address is not one.
        MissingError: Ray or the cluster is missing.
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
            with redirect_stdout(sys.stderr):  # Ray prints there why a node is lost; standard output is for the result
                yield ray
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


def options_of(resources: Mapping[str, float]) -> dict[str, Any]:
    """The options of a task or an actor that needs `resources`."""
    options: dict[str, Any] = {OPTIONS[name]: amount for name, amount in resources.items() if name in OPTIONS}
    return options | {"resources": {name: amount for name, amount in resources.items() if name not in OPTIONS}}


def check_resources(
    nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, float], may_grow: bool, who: str, shown: Progress
) -> None:
    """Check that a node has the resources that are asked for.

    A cluster at an address may grow, so there a line says that `who` wait.

    Args:
        nodes: the nodes, as Ray describes them.
        resources: the resources by name.
        may_grow: wait for a larger node.
        who: what needs the resources, in the plural.
        shown: gets the line.

    Raises:
        MissingError: No node has the resources, and the cluster does not grow.
    """
    offered = [node["Resources"] for node in nodes if node["Alive"]]
    if any(all(node.get(name, 0) >= amount for name, amount in resources.items()) for node in offered):
        return
    needed = ", ".join(f"{name}={amount:g}" for name, amount in resources.items())
    largest = {name: max((node.get(name, 0) for node in offered), default=0) for name in ("CPU", "GPU", *resources)}
    offers = ", ".join(f"{name}={amount:g}" for name, amount in largest.items())
    text = f"no node has {needed}; the largest offers are {offers}"
    if not may_grow:
        raise MissingError(f"{text}; ask for less with --resources, or name a cluster with --address")
    shown.line(f"{text}; {who} wait for a larger node")
