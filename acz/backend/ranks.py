"""The ranks of a task: finding the place of this process, joining the others, and starting all of them on this host."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from acz.backend.devices import check_device
from acz.backend.processes import Place
from acz.backend.protocol import Processes
from acz.backend.registry import find_backend, find_info
from acz.foundation.errors import AczError, Interrupted, RankFailed, SpecError
from acz.foundation.processes import environment
from acz.foundation.processes.environment import cores
from acz.foundation.processes.group import Group, connect, open_hub, say_on_stderr
from acz.foundation.processes.ports import LOOPBACK

ANSWER = "ACZ_ANSWER"
"""The variable that names the file for the answer of ranks that this library started."""
OWN_SHARE = "ACZ_OWN_SHARE"
"""The variable that is set where the starter of a rank gave it threads and a device of its own: nothing is divided on its host."""


def find_place(backend: str, environ: Mapping[str, str] | None = None) -> Place | None:
    """The place that a launcher of the backend's framework has given this process; None where it is alone.

    A process that has none, because the launcher started it as its scheduler, becomes that scheduler and does not return.

    Raises:
        SpecError: the variables contradict each other.
    """
    launcher, environ = find_info(backend).launcher, os.environ if environ is None else environ
    words = launcher.served_by(environ) if launcher and launcher.served_by else None
    if words:
        os.execve(words[0], list(words), dict(environ))
    place = launcher.find_place(environ) if launcher else None
    return place if place is not None and place.world > 1 else None


def device_of(device: str, place: Place | None) -> str:
    """The device of this process: `GPU` gives its processes GPU:0, GPU:1, ..., and `GPU:2,3,5` these, in this order.

    Raises:
        SpecError: there are fewer devices than processes of this host.
    """
    kind, _, numbers = device.partition(":")
    if place is None or kind == "CPU" or OWN_SHARE in os.environ:
        return device
    listed = numbers.split(",") if numbers else [str(number) for number in range(place.local_world)]
    if len(listed) < place.local_world:
        raise SpecError(
            f"--device {device} names {len(listed)} devices, for {place.local_world} processes on this host"
        )
    return f"{kind}:{listed[place.local_rank]}"


def share_threads(threads: int | None, place: Place | None) -> int:
    """The threads of this process, at least 1: an equal part of those of its host, by default of all cores."""
    sharing = place.local_world if place and OWN_SHARE not in os.environ else 1
    return max((threads or cores()) // sharing, 1)


@dataclass(frozen=True)
class Rank:
    """This process, which works on a task alone or with others."""

    group: Group
    device: str
    """The device of this process."""
    threads: int
    """The threads of this process on the CPU."""


def alone(device: str, threads: int) -> Rank:
    """The only process of a task."""
    return Rank(Group(0, 1), device, threads)


@contextmanager
def join_ranks(backend: str, device: str, threads: int | None) -> Iterator[Rank]:
    """Join the other processes, in the framework and in a group of messages. An error in the body ends all ranks.

    Args:
        backend: the backend's name.
        device: the devices of all processes, as `device_of` reads them.
        threads: the threads of all processes of a host; by default one a core.

    Raises:
        MissingError: the framework can't communicate between processes here, or the device is missing.
        RankFailed: a rank is not there.
    """
    place = find_place(backend)
    own_device, own_threads = device_of(device, place), share_threads(threads, place)
    opened = find_backend(backend)
    check_device(opened, own_device)
    if place is None:
        yield alone(own_device, own_threads)
        return
    opened.set_threads(own_threads)
    opened = cast(Processes, opened)
    environment.at_once = True
    try:
        opened.join(place, own_device)
    except AczError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise RankFailed(f"{place}, did not meet the others: {reason}") from error
    fatal = _write_answer if os.environ.get(ANSWER) and place.rank == 0 else say_on_stderr
    address = LOOPBACK if place.local_world == place.world else place.address
    if place.rank == 0:
        group = open_hub(place.world, address, lambda port: _tell(opened, port), fatal)
    else:
        group = connect(place.rank, place.world, address, _tell(opened, 0), fatal)
    try:
        yield Rank(group, own_device, own_threads)
        group.wait()  # nobody leaves the framework's collectives while others use them
        opened.leave()
        group.wait()  # and nobody ends, and closes its connections, while others are leaving
    except BaseException as error:
        if isinstance(error, Interrupted):
            raise
        message = str(error) or type(error).__name__
        cause = message if isinstance(error, AczError) else group.blame(message)
        group.fail(cause, getattr(error, "exit_code", 1))
        if cause != message:
            raise RankFailed(cause) from error
        raise
    finally:
        group.close()


def _tell(backend: Processes, port: int) -> int:
    """The port of rank 0, at every rank."""
    return round(float(backend.total(np.array([float(port)]))[0]))


def _write_answer(message: str, code: int) -> None:
    """Leave the message of a fatal error to the process that started the ranks."""
    error = RankFailed(message)
    error.exit_code = code
    Path(os.environ[ANSWER]).write_bytes(pickle.dumps((None, error)))


def redirect_output(path: Path) -> None:
    """Have this process write its standard output and error to a file. The process that started it reads the file there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if ANSWER in os.environ:
        before = Path(os.environ[ANSWER]).with_name(path.name)
        before.unlink(missing_ok=True)
        before.symlink_to(path.resolve())
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
