"""The ranks of a task: finding the place of this process, joining the others, and starting all of them on this host."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from acz.backend.devices import check_device
from acz.backend.info import BackendInfo
from acz.backend.processes import Cluster, Place
from acz.backend.protocol import Processes
from acz.backend.registry import find_backend, find_info
from acz.foundation.errors import AczError, Interrupted, MissingError, SpecError
from acz.foundation.processes.environment import cores
from acz.foundation.processes.group import Group, RankFailed, connect, open_hub, say_on_stderr
from acz.foundation.processes.interrupt import interruptible
from acz.foundation.processes.json_lines import describe_end
from acz.foundation.processes.ports import LOOPBACK, free_port

ANSWER = "ACZ_ANSWER"
"""The variable that names the file for the answer of ranks that this library started."""
GRACE = 10.0
"""Seconds that ranks have to end by themselves when one of them has ended."""


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
    if place is None or kind == "CPU":
        return device
    listed = numbers.split(",") if numbers else [str(number) for number in range(place.local_world)]
    if len(listed) < place.local_world:
        raise SpecError(
            f"--device {device} names {len(listed)} devices, for {place.local_world} processes on this host"
        )
    return f"{kind}:{listed[place.local_rank]}"


def share_threads(threads: int | None, place: Place | None) -> int:
    """The threads of this process, at least 1: an equal part of those of its host, by default of all cores."""
    return max((threads or cores()) // (place.local_world if place else 1), 1)


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
    opened.join(place, own_device)
    fatal = _write_answer if os.environ.get(ANSWER) and place.rank == 0 else say_on_stderr
    address = LOOPBACK if place.local_world == place.world else place.address
    if place.rank == 0:
        group = open_hub(place.world, address, lambda port: _tell(opened, port), fatal)
    else:
        group = connect(place.rank, place.world, address, _tell(opened, 0), fatal)
    try:
        yield Rank(group, own_device, own_threads)
        group.wait()  # nobody leaves the framework's collectives while others use them
    except BaseException as error:
        if not isinstance(error, Interrupted):
            group.fail(str(error) or type(error).__name__, getattr(error, "exit_code", 1))
        raise
    finally:
        group.close()
    opened.leave()


def _tell(backend: Processes, port: int) -> int:
    """The port of rank 0, at every rank."""
    return round(float(backend.total(np.array([float(port)]))[0]))


def _write_answer(message: str, code: int) -> None:
    """Leave the message of a fatal error to the process that started the ranks."""
    error = RankFailed(message)
    error.exit_code = code
    Path(os.environ[ANSWER]).write_bytes(pickle.dumps((None, error)))


def redirect_output(path: Path) -> None:
    """Have this process write its standard output and error to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)


def call_on_ranks(
    function: Callable[..., Any], arguments: Mapping[str, Any], backend: str, processes: int, threads: int
) -> Any:
    """Call a function in several new processes of this host at once, each of which has a place.

    Args:
        function: a function at the top level of a module.
        arguments: its arguments by name.
        backend: the name of the backend, whose framework gives the places.
        processes: the number of processes.
        threads: threads of each process on the CPU.

    Returns:
        The answer of rank 0.

    Raises:
        SpecError: the backend trains in one process.
        RankFailed: a rank ended; the message names it.
        AczError: whatever the function raised at rank 0.
    """
    info = find_info(backend)
    if info.launcher is None:
        raise MissingError(f"backend '{backend}' works in one process; leave out --processes")
    with tempfile.TemporaryDirectory(prefix="acz-ranks-") as name:
        folder = Path(name)
        (folder / "call").write_bytes(pickle.dumps((function, dict(arguments), backend)))
        words = [sys.executable, "-m", "acz.cli.processes.rank", str(folder / "call"), str(threads)]
        codes = _run(info, processes, words, folder)
        answer, error = None, None
        if (folder / "answer").is_file():
            answer, error = pickle.loads((folder / "answer").read_bytes())
        if error is None and any(codes):
            rank = next(rank for rank, code in enumerate(codes) if code)
            last = _last_words(folder / f"rank_{rank}.log")
            error = RankFailed(
                f"rank {rank} on this host {describe_end(codes[rank])}{last}; the last checkpoint is whole"
            )
        if error is not None:
            raise error
        return answer


def _run(info: BackendInfo, processes: int, words: Sequence[str], folder: Path) -> list[int]:
    """Run a program at every rank, and see that none is left. Returns their exit codes, that of the first to fail first seen."""
    launcher = info.launcher
    assert launcher is not None
    cluster = Cluster((LOOPBACK,), processes, free_port(processes))
    started: list[subprocess.Popen[bytes]] = []
    beside: subprocess.Popen[bytes] | None = None
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    inherited[ANSWER] = str(folder / "answer")
    with interruptible() as is_interrupted:
        try:
            if launcher.scheduler:
                command = launcher.scheduler(cluster)
                null = subprocess.DEVNULL
                environ = {**inherited, **command.variables}
                beside = subprocess.Popen(
                    command.words, env=environ, stdin=null, stdout=null, stderr=null, cwd=folder, start_new_session=True
                )
            for rank in range(processes):
                with (folder / f"rank_{rank}.log").open("wb") as log:
                    started.append(
                        subprocess.Popen(
                            words,
                            env={**inherited, **launcher.variables(cluster, rank)},
                            stdin=subprocess.DEVNULL,
                            stdout=log if rank else None,
                            stderr=log if rank else None,
                            start_new_session=True,  # Ctrl-C comes to this process, which hands it on once
                        )
                    )
            return _wait(started, is_interrupted)
        finally:
            for process in [*started, *([beside] if beside else [])]:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(started: Sequence[subprocess.Popen[bytes]], is_interrupted: Callable[[], bool]) -> list[int]:
    """Wait for all ranks; where one fails, for the others for GRACE seconds. Failures come before their consequences.

    Returns:
        The exit code of each rank, 0 for those that failed after another had.
    """
    told, deadline = False, float("inf")
    first: int | None = None
    while any(process.poll() is None for process in started) and time.monotonic() < deadline:
        if is_interrupted() and not told:
            told = True
            for process in started:
                process.send_signal(signal.SIGINT)
        failed = [rank for rank, process in enumerate(started) if process.poll()]
        if failed and first is None:
            first, deadline = failed[0], time.monotonic() + GRACE
        time.sleep(0.05)
    codes = [process.poll() for process in started]
    if first is None:
        first = next((rank for rank, code in enumerate(codes) if code), None)
    return [codes[rank] or 0 if rank == first else 0 for rank in range(len(started))]


def _last_words(log: Path) -> str:
    """The last lines of a rank's log, as the end of a sentence."""
    lines = log.read_text(errors="replace").strip().splitlines()[-4:] if log.is_file() else []
    return "; its last words: " + " | ".join(lines) if lines else ""


def answer_call(call: Path) -> int:
    """Make a call of `call_on_ranks` at one rank, and leave the answer of rank 0. Returns the exit code."""
    _follow_parent()
    function, arguments, backend = pickle.loads(call.read_bytes())
    error: AczError | None = None
    answer: Any = None
    try:
        answer = function(**arguments)
    except AczError as problem:
        error = problem
    place = find_place(backend)
    if place is None or place.rank == 0:
        Path(os.environ[ANSWER]).write_bytes(pickle.dumps((answer, error)))
    elif error:
        print(f"acz: {error}", file=sys.stderr, flush=True)
    return error.exit_code if error else 0


def _follow_parent() -> None:
    """End this process when the one that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
